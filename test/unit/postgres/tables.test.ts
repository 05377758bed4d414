import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { readTables } from '../../../src/postgres/tables.ts';

const primary = { primary: true, identity: false, immediate: true, columns: ['id'] };
const unique = { primary: false, identity: true, immediate: true, columns: ['email', 'role_id'] };
const names = ['id', 'email', 'role_id'];
const row = {
  oid: 16_400, schema: 'public', name: 'users', kind: 'r', persistence: 'p', last_number: 5, identity: 'd', ancestors: [], leaves: [],
  columns: names.map((name, index) => ({ name, number: index + 1, type: 23, not_null: true, generated: '', toastable: false })), keys: [unique, primary],
}; // prettier-ignore

async function read(more: object) {
  const client = { query: () => Promise.resolve({ rows: [{ ...row, ...more }] }) } as unknown as Client;
  return (await readTables(client, []))[0]!;
}
const identity = async (more: object) => [...(await read(more)).identityColumns];

test('a table is read as it is in the catalog', async () => {
  const columns = [
    { name: 'a', number: 1, type: 3_000_000_000, not_null: true, generated: '', toastable: true },
    { name: 'b', number: 3, type: 23, not_null: false, generated: 's', toastable: false },
    { name: 'c', number: 4, type: 23, not_null: false, generated: 'v', toastable: false },
  ];
  expect(await read({ columns, ancestors: [7] })).toMatchObject({
    oid: 16_400, schema: 'public', name: 'users', kind: 'r', persistence: 'p', lastNumber: 5, ancestors: [7], replicaIdentity: 'default',
    columns: [
      { name: 'a', typeOid: 3_000_000_000, notNull: true, generated: undefined, toastable: true },
      { name: 'b', number: 3, typeOid: 23, notNull: false, generated: 'stored', toastable: false },
      { name: 'c', generated: 'virtual' },
    ],
  }); // prettier-ignore
});

test('the primary key and immediate unique keys are read, and deferrable keys separately', async () => {
  const deferrable = { ...primary, immediate: false };
  expect(await read({})).toMatchObject({ primaryKey: ['id'], uniqueKeys: [['email', 'role_id'], ['id']] });
  expect(await read({ keys: [deferrable] })).toMatchObject({
    primaryKey: ['id'], uniqueKeys: [], deferrableKeys: [['id']],
  }); // prettier-ignore
  expect((await read({ keys: [unique] })).primaryKey).toBeUndefined();
});

describe('the old values that a change carries are', () => {
  test('those of the primary key by default, of the chosen index, of all columns, or none', async () => {
    expect(await identity({ identity: 'd' })).toEqual(['id']);
    expect(await identity({ identity: 'i' })).toEqual(['email', 'role_id']);
    expect(await identity({ identity: 'f' })).toEqual(names);
    expect(await identity({ identity: 'n' })).toEqual([]);
    expect((await read({ identity: '?' })).replicaIdentity).toBe('nothing');
  });

  test('none if the index was dropped, or the primary key is deferrable or missing', async () => {
    expect(await identity({ identity: 'i', keys: [primary] })).toEqual([]);
    expect(await identity({ keys: [{ ...primary, immediate: false }] })).toEqual([]);
    expect(await identity({ keys: [] })).toEqual([]);
  });

  test('for a partitioned table, those that all of its partitions send', async () => {
    const leaf = { oid: 1, schema: 'public', name: 'users_1', identity: 'f', keys: [] };
    const other = { ...leaf, oid: 2, identity: 'i', keys: [unique] };
    expect(await identity({ identity: 'f', leaves: [leaf] })).toEqual(names);
    expect(await identity({ identity: 'f', leaves: [leaf, other] })).toEqual(['email', 'role_id']);
    expect(await identity({ identity: 'd', leaves: [leaf, other] })).toEqual([]);
    expect((await read({ leaves: [leaf, other] })).leaves).toEqual([
      { oid: 1, schema: 'public', name: 'users_1', replicaIdentity: 'full' },
      { oid: 2, schema: 'public', name: 'users_1', replicaIdentity: 'index' },
    ]);
  });
});

test('schemas and names are passed as parallel lists', async () => {
  const asked: unknown[] = [];
  const query = (_: string, values: unknown) => (asked.push(values), Promise.resolve({ rows: [] }));
  const wanted = [{ schema: 'public', name: 'users' }, { schema: 'erp', name: 'lines' }]; // prettier-ignore
  expect(await readTables({ query } as unknown as Client, wanted)).toEqual([]);
  await readTables({ query } as unknown as Client, wanted.slice(1), 16_400);
  expect(asked).toEqual([[['public', 'erp'], ['users', 'lines'], null], [['erp'], ['lines'], 16_400]]); // prettier-ignore
});
