import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { Schema } from '../../../src/watchers/schema.ts';
import { table } from '../../../src/watchers/table.ts';
import type { WatcherEntry } from '../../../src/types/watchers.ts';
import { boundTo, usersTable } from '../../support/sample-tables.ts';

/** As while streaming. */
function bound(...entries: readonly WatcherEntry[]): Schema {
  const watchers = boundTo(usersTable(), ...entries);
  const schema = new Schema([], undefined, { issues: () => [], bound: () => {}, warn: () => {} });
  schema.bind(watchers, { major: 17 });
  return schema;
}

describe('texts that were kept are parsed as if they had just been received', () => {
  const none = {} as Client;
  const entry = [
    table<{ id: number; role: number }>()({ tableName: 'users', primaryKey: 'id', columnMap: { role: 'role_id' } }),
    'updated',
    { extraColumns: ['role'] },
  ] as const;

  test('by the types of the watcher, under its names', async () => {
    const schema = bound(entry, ['users', 'inserted']);
    expect(await schema.parse(none, 'users:updated', { id: '1', role: '7' }, [])).toEqual({ id: 1, role: 7 });
    expect(await schema.parse(none, 'users:updated', { id: '1', role: null }, [])).toEqual({ id: 1, role: null });
  });

  test('and stay what they are where nothing is known of them', async () => {
    const schema = bound(entry);
    expect(await schema.parse(none, 'users:updated', { gone: '1' }, [])).toEqual({ gone: '1' });
    expect(await schema.parse(none, 'message:outbox', { id: '1' }, [])).toEqual({ id: '1' });
  });
  test('and what was absent is so still', async () => {
    const schema = bound(entry);
    const event = await schema.parse(none, 'users:updated', { id: '1' }, ['role']);
    expect({ ...event }).toEqual({ id: 1 });
    expect(() => event['role']).toThrow("did not send the value of 'role'");
  });
});
