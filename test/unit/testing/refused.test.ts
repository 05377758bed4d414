/** Wrong arguments: the error names every problem, and suggests the right name. */
import { expect, test } from 'vitest';
import type { Client } from 'pg';
import { type ConfigurationError, defineWatchers } from '../../../src/index.ts';
import { createTestWatch } from '../../../src/testing/index.ts';
import { recorder } from '../../support/recorder.ts';

interface DB {
  users: { id: number; role_id: number; email: string };
}
const watchers = defineWatchers<DB>()([
  ['users', ['inserted', 'updated'], { extraColumns: ['role_id', 'email'] }],
  ['users', 'truncated'],
]);
/** As JavaScript can pass it. */
const any = (given: unknown): any => given;

async function issuesOf(deliver: (watch: any) => Promise<void>) {
  const error = await deliver(createTestWatch(watchers)).then(() => undefined, (thrown: unknown) => thrown as ConfigurationError); // prettier-ignore
  expect(error).toMatchObject({ name: 'ConfigurationError', code: 'CONFIGURATION' });
  return error!.issues.map(({ message, solution }) => `${message}. ${solution}`);
}

test.each<readonly [what: string, deliver: (watch: any) => Promise<void>, expected: readonly RegExp[]]>([
  ['a misspelt watcher', (watch) => watch.deliver('users:insertd', { id: 1 }), [/no watcher 'users:insertd'.*Did you mean 'users:inserted'/]],
  ['missing and misspelt columns', (watch) => watch.deliver('users:inserted', { Id: 1, rol_id: 2, email: null }), [
    /a column 'Id'.*Did you mean 'id'/, /a column 'rol_id'.*Did you mean 'role_id'/, /primary key: id\. .*name it with table/, /no value for role_id\. /,
  ]],
  ['a key that is null', (watch) => watch.deliver('users:inserted', { id: null, role_id: 1, email: '' }), [/primary key: id/]],
  ['no event', (watch) => watch.deliver('users:inserted'), [/the event is undefined.*\{ id: …, role_id: …, email: … \}/]],
  ['columns of a truncate', (watch) => watch.deliver('users:truncated', { id: 1 }), [/a column 'id'/]],
  ['previous of an insert', (watch) => watch.deliver('users:inserted', { id: 1, role_id: 1, email: '' }, { previous: { email: '' } }), [/previous is for 'updated', not 'inserted'/]],
  ['a misspelt previous column', (watch) => watch.deliver('users:updated', { id: 1, role_id: 1, email: '' }, { previous: { mail: '' } }), [/previous has a column 'mail'.*'email'/]],
  ['a number as previous', (watch) => watch.deliver('users:updated', { id: 1, role_id: 1, email: '' }, { previous: 1 }), [/previous is 1/]],
  ['existing of an update', (watch) => watch.deliver('users:updated', { id: 1, role_id: 1, email: '' }, { existing: true }), [/existing rows arrive as 'inserted'/]],
  ['a misspelt option', (watch) => watch.deliver('users:truncated', {}, { time: 2 }), [/'time'.*'times'/]],
  ['no times', (watch) => watch.deliver('users:truncated', {}, { times: 0 }), [/times must be a whole number, 1 or more, not 0/]],
  ['a number as options', (watch) => watch.deliver('users:truncated', {}, 2), [/the options are 2/]],
  ['a list as annotations', (watch) => watch.deliver('users:truncated', {}, { annotations: ['a'] }), [/annotations: it is not a JSON object/]],
  ['annotations that JSON cannot hold', (watch) => watch.deliver('users:truncated', {}, { annotations: { a: 1n } }), [/^annotations\.a is a bigint/]],
  ['an empty list', (watch) => watch.deliver([]), [/the list of changes is empty/]],
  ['every problem of a list', (watch) => watch.deliver([1, { watcher: 'users', event: {} }, { watcher: 'users:truncated', event: {}, evnt: 1 }, { watcher: 'users:truncated', event: 2 }]), [
    /change 0 of the list is 1/, /'evnt'.*'event'/, /no watcher 'users'/, /users:truncated: the event is 2/,
  ]],
  ['a type that is not the watcher’s', (watch) => watch.deliver([{ watcher: 'users:truncated', type: 'deleted', event: {} }]), [/users:truncated: its type is 'truncated', not "?'?deleted/]],
  ['a message without a prefix', (watch) => watch.deliverMessage({ name: 'order.placed' }, {}), [/neither a prefix nor an outbox message/]],
  ['content that is neither text nor bytes', (watch) => watch.deliverMessage('cache', { clear: 'users' }), [/the content is .*JSON.stringify/]],
  ['a key of a plain message', (watch) => watch.deliverMessage('cache', '', { key: 'a' }), [/unknown option of a delivery 'key'/]],
  ['a wrong key and a wrong value', (watch) => watch.deliverMessage({ name: 'a', prefix: 'walwatch:message:a' }, undefined, { key: 1 }), [/key is 1/, /^value is undefined/]],
])('%s', async (_, deliver, expected) => {
  const issues = await issuesOf(deliver);
  expect(issues).toEqual(expected.map((pattern) => expect.stringMatching(pattern)));
}); // prettier-ignore

test('a change of the list may say its type', async () => {
  const watch = createTestWatch(watchers);
  const handler = recorder();
  watch.subscribe('users:truncated', handler);
  await watch.deliver([{ watcher: 'users:truncated', type: 'truncated', event: {} }]);
  expect(handler.all).toHaveLength(1);
});

test('nothing is delivered if one change of a list is wrong', async () => {
  const watch = createTestWatch(watchers);
  const handler = recorder();
  watch.subscribe('users:truncated', handler);
  const list = any([
    { watcher: 'users:truncated', event: {} },
    { watcher: 'users:inserted', event: {} },
  ]);
  await expect(watch.deliver(list)).rejects.toThrow('primary key');
  expect(handler.all).toEqual([]);
});

test('createTestWatch reports all problems of its arguments at once', () => {
  expect(() => createTestWatch(any([]), any({ onerror: 'retry', onError: 'never', logger: {} }))).toThrow(
    expect.objectContaining({
      issues: [
        expect.objectContaining({ solution: expect.stringContaining("'onError'") }),
        expect.objectContaining({ message: expect.stringContaining('onError must be') }),
        expect.objectContaining({ message: expect.stringContaining('logger lacks') }),
        expect.objectContaining({ message: 'watchers is missing' }),
      ],
    }),
  );
});

test('existing needs a name and an inserted watcher, as with a database', () => {
  const watch = createTestWatch(watchers);
  expect(() => watch.subscribe('users:updated', () => {}, any({ existing: 'v1' }))).toThrow(
    expect.objectContaining({ issues: [expect.anything(), expect.anything()] }),
  );
});

test('transaction: true needs a client, which its handlers get', async () => {
  expect(() => createTestWatch(watchers).subscribe('users:inserted', () => {}, { transaction: true })).toThrow(
    /createTestWatch\(watchers, \{ client \}\).*real PostgreSQL/s,
  );
  const client = { query: () => {} } as unknown as Client;
  const watch = createTestWatch(watchers, { client });
  const clients: Client[] = [];
  watch.subscribe('users:inserted', async (_, context) => clients.push(context.client), { transaction: true, timeout: 1000 }); // prettier-ignore
  await watch.deliver('users:inserted', { id: 1, role_id: 1, email: '' });
  expect(clients).toEqual([client]);
});
