/** Dead letters of a test watch: in memory, with the methods of those in the database. */
import { expect, test } from 'vitest';
import { type DeadLetter, defineWatchers } from '../../../src/index.ts';
import { createTestWatch } from '../../../src/testing/index.ts';
import { recorder } from '../../support/recorder.ts';

const watchers = defineWatchers<{ users: { id: number; seen_at: Date } }>()([
  ['users', 'updated', { extraColumns: ['seen_at'] }],
]);
const onError = { attempts: 1, then: 'deadLetter' } as const;
const event = { id: 1, seen_at: new Date(0) };

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

function mailer() {
  const watch = createTestWatch(watchers, { logger: false });
  const handled = recorder();
  const state = { works: false };
  watch.subscribe('users:updated', (...call) => (state.works ? handled(...call) : Promise.reject(new Error('no'))), {
    name: 'mailer',
    onError,
  });
  return { watch, handled, state };
}

test('deliver rejects, and the event is a dead letter with its values', async () => {
  const { watch } = mailer();
  await expect(watch.deliver('users:updated', event, { times: 2 })).rejects.toThrow('no');
  const letters: DeadLetter[] = await all(watch.deadLetters.list());
  expect(letters).toEqual([
    {
      id: '1', subscription: 'mailer', watcher: 'users:updated', eventId: expect.stringMatching(/^16\/.*\/0$/), event, attempts: 1,
      error: expect.stringContaining('Error: no'), failedAt: expect.any(Date),
    },
  ]); // prettier-ignore
});

test('replay calls the handler again with the context of the event, and deletes what succeeds', async () => {
  const { watch, handled, state } = mailer();
  const annotations = { actor: 'user:7' };
  await watch.deliver('users:updated', event, { previous: { seen_at: new Date(1) }, annotations }).catch(() => {});
  expect(await watch.deadLetters.replay({ subscription: 'mailer' })).toBe(0);
  expect(await all(watch.deadLetters.list({ watcher: 'users:updated' }))).toMatchObject([{ attempts: 2 }]);
  state.works = true;
  expect(await watch.deadLetters.replay({ subscription: 'other' })).toBe(0);
  expect(await watch.deadLetters.replay()).toBe(1);
  expect(handled.all).toEqual([event]);
  const previous = { id: 1, seen_at: new Date(1) };
  expect(handled.contexts[0]).toMatchObject({ watcher: 'users:updated', attempt: 3, previous, annotations });
  expect(handled.contexts[0]!.signal.aborted).toBe(false);
  expect(await all(watch.deadLetters.list())).toEqual([]);
});

test('discard deletes, and a misspelt filter is refused', async () => {
  const { watch } = mailer();
  await watch.deliver('users:updated', event).catch(() => {});
  const misspelt: any = { id: ['1'] };
  await expect(watch.deadLetters.discard(misspelt)).rejects.toThrow('ids');
  expect(await watch.deadLetters.discard({ ids: ['2'] })).toBe(0);
  expect(await watch.deadLetters.discard({ ids: ['1'] })).toBe(1);
});

test('a letter whose subscription has ended cannot be replayed', async () => {
  const watch = createTestWatch(watchers, { logger: false });
  const options = { name: 'mailer', onError };
  const subscription = watch.subscribe('users:updated', () => Promise.reject(new Error('no')), options);
  await watch.deliver('users:updated', event).catch(() => {});
  subscription.unsubscribe();
  await expect(watch.deadLetters.replay()).rejects.toThrow("no subscription 'mailer'");
});
