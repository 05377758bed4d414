/** Without a database: the test delivers the changes. */
import { expect, test } from 'vitest';
import { createTestWatch } from 'walwatch/testing';
import { keepEmails, watchers } from './emails.ts';

function setUp() {
  const watch = createTestWatch(watchers);
  return { watch, emails: keepEmails(watch) };
}

test('the address of a new user is stored', async () => {
  const { watch, emails } = setUp();
  await watch.deliver('users:inserted', { id: 1, email: 'ada@example.org' });
  expect(emails.get(1)).toBe('ada@example.org');
});

test('an updated address replaces the old one, and a deleted user has none', async () => {
  const { watch, emails } = setUp();
  await watch.deliver([
    { watcher: 'users:inserted', event: { id: 1, email: 'ada@example.org' } },
    { watcher: 'users:inserted', event: { id: 2, email: 'grace@example.org' } },
  ]);
  await watch.deliver('users:updated', { id: 1, email: 'lovelace@example.org' });
  await watch.deliver('users:deleted', { id: 2 });
  expect([...emails]).toEqual([[1, 'lovelace@example.org']]);
});

test('a change that arrives twice changes nothing', async () => {
  const { watch, emails } = setUp();
  await watch.deliver('users:inserted', { id: 1, email: 'ada@example.org' }, { times: 2 });
  expect(emails.size).toBe(1);
});

test('an address that is not one is refused', async () => {
  const { watch, emails } = setUp();
  await expect(watch.deliver('users:inserted', { id: 1, email: 'ada' })).rejects.toThrow('not an address');
  expect(emails.size).toBe(0);
});
