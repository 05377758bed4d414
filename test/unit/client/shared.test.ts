import { expect, onTestFinished, test } from 'vitest';
import { sharedLine } from '../../../src/client/shared.ts';
import type { Entry } from '../../../src/client/told.ts';
import { until } from '../../support/until.ts';

const entry: Entry = { key: 'k', watcher: 'users:updated', filter: 1, after: undefined };
const second: Entry = { ...entry, key: 'l', filter: 2 };
const refusal = () => new DOMException('refused', 'SecurityError');

class Channel {
  onmessage = null;
  postMessage() {}
  close() {}
}

/** Grants every lock except those that `refused` matches. */
const locks = (refused: (name: string, count: number) => boolean = () => false) => {
  let count = 0;
  return {
    request: async (name: string, _: object, granted: () => unknown) => {
      if (refused(name, ++count)) throw refusal();
      return granted();
    },
  };
};

/** A tab, and the subscriptions of each of its connections. */
function tab(means: Partial<Parameters<typeof sharedLine>[0]> = {}) {
  const wants: (readonly string[])[][] = [];
  const connect = () => {
    const own: (readonly string[])[] = [];
    wants.push(own);
    return {
      want: (entries: readonly Entry[]) =>
        void own.push(entries.map(({ watcher, filter }) => `${watcher} ${String(filter)}`)),
    };
  };
  const line = sharedLine({ locks: locks(), Channel, ...means }, 'name', connect, () => {});
  onTestFinished(() => line.want([]));
  return { line, wants };
}

test.each([
  ['locks', { locks: locks(() => true) }],
  ['the lock of the leader', { locks: locks((name) => name === 'name') }],
  [
    'channels',
    {
      Channel: class extends Channel {
        constructor() {
          super();
          throw refusal();
        }
      },
    },
  ],
])('a tab to which the browser refuses %s uses a separate connection', async (_, means) => {
  const { line, wants } = tab(means);
  line.want([entry]);
  line.want([entry, second]);
  await until(() => wants[0]?.at(-1)?.length === 2, { describe: () => `the connection: ${JSON.stringify(wants)}` });
  line.want([]);
  expect(wants.map((own) => own.at(-1))).toEqual([[]]);
});
