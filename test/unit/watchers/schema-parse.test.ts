import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { Schema } from '../../../src/watchers/schema.ts';
import { table } from '../../../src/watchers/table.ts';
import type { WatcherEntry } from '../../../src/types/watchers.ts';
import { boundTo, usersTable } from '../../support/sample-tables.ts';

/** A schema as it is while streaming. */
function bound(...entries: readonly WatcherEntry[]): Schema {
  const watchers = boundTo(usersTable(), ...entries);
  const schema = new Schema([], undefined, { issues: () => [], bound: () => {}, warn: () => {} });
  schema.bind(watchers, { major: 17 });
  return schema;
}

describe('stored texts are parsed as if they had just been received', () => {
  const none = {} as Client;
  const entry = [
    table<{ id: number; role: number }>()({ tableName: 'users', primaryKey: 'id', columnMap: { role: 'role_id' } }),
    'updated',
    { extraColumns: ['role'] },
  ] as const;

  test("with the types of the watcher's columns, under its names", async () => {
    const schema = bound(entry, ['users', 'inserted']);
    expect(await schema.parse(none, 'users:updated', { id: '1', role: '7' }, [])).toEqual({ id: 1, role: 7 });
    expect(await schema.parse(none, 'users:updated', { id: '1', role: null }, [])).toEqual({ id: 1, role: null });
  });

  test('but stay texts if the watcher or column is unknown', async () => {
    const schema = bound(entry);
    expect(await schema.parse(none, 'users:updated', { gone: '1' }, [])).toEqual({ gone: '1' });
    expect(await schema.parse(none, 'message:outbox', { id: '1' }, [])).toEqual({ id: '1' });
  });
  test('and absent values are still absent', async () => {
    const schema = bound(entry);
    const event = await schema.parse(none, 'users:updated', { id: '1' }, ['role']);
    expect({ ...event }).toEqual({ id: 1 });
    expect(() => event['role']).toThrow("did not send the value of 'role'");
  });
});
