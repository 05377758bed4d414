import { expect, test } from 'vitest';
import type { Configuration } from '../../../src/cli/config.ts';
import { learnHandlers } from '../../../src/cli/learn-handlers.ts';
import { defineWatchers, type SlotWatch } from '../../../src/index.ts';
import { descriptor } from '../../support/messaging.ts';

const watchers = defineWatchers([['users', 'inserted']]);

/** What handlers need that this function registers. */
const needs = (subscribe: (watch: SlotWatch<any>) => unknown) =>
  learnHandlers({ options: { watchers, slot: 'test', connection: 'postgres://x' }, watchers: [], resolved: { onError: 'retry' }, subscribe } as unknown as Configuration); // prettier-ignore

test.each([['outbox'], [descriptor('order.placed')]] as const)('a handler of the messages %j needs the tables of its options', async (message) => {
  const none = { positions: false, deadLetters: false, attempts: false, messages: true, existing: false };
  const handler = () => {};
  expect(await needs((watch) => watch.onMessage(message as string, handler))).toMatchObject(none);
  expect(await needs((watch) => watch.onMessage(message as string, handler, { transaction: true, name: 'a' }))).toMatchObject({
    ...none, positions: true,
  }); // prettier-ignore
  const onError = { attempts: 3, then: 'deadLetter' } as const;
  expect(await needs((watch) => watch.onMessage(message as string, handler, { batch: { size: 2 }, onError }))).toMatchObject({
    ...none, deadLetters: true, attempts: true, error: undefined,
  }); // prettier-ignore
}); // prettier-ignore
