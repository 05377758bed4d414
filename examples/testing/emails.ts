/** The code under test: an in-memory copy of each user's address, kept up to date by the watch. */
import { defineWatchers, type Watch } from 'walwatch';

export interface DB {
  users: { id: number; email: string };
}

export const watchers = defineWatchers<DB>()([
  ['users', 'inserted', { extraColumns: ['email'] }],
  ['users', 'updated', { extraColumns: ['email'] }],
  ['users', 'deleted'],
]);

/** Takes any `Watch` of these watchers, no matter where its events come from. */
export function keepEmails(watch: Watch<typeof watchers>): ReadonlyMap<number, string> {
  const emails = new Map<number, string>();
  const keep = ({ id, email }: DB['users']) => {
    if (!email.includes('@')) throw new Error(`${email} is not an address`);
    emails.set(id, email);
  };
  watch.subscribe('users:inserted', keep);
  watch.subscribe('users:updated', keep);
  watch.subscribe('users:deleted', ({ id }) => void emails.delete(id));
  return emails;
}
