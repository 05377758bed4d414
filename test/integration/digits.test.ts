/** Keys that are typed as text because they are bigints: a number selects the same row as its digits. */
import { expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

interface DB {
  accounts: { id: string; owner_id: string; code: string; amount: number };
}

test("42, 42n and '42' are the same key, of a bigint and of a text", async () => {
  await db.sql('create table accounts (id bigint primary key, owner_id bigint, code text, amount float8)');
  const watch = watchOf(defineWatchers<DB>()([['accounts', 'updated', { extraColumns: ['owner_id', 'code', 'amount'] }]])); // prettier-ignore
  const heard: string[] = [];
  const ended: string[] = [];
  for (const value of [42, 42n, '42', 9007199254740993n] as const) {
    const label = `${typeof value} ${value}`;
    watch.subscribe('accounts:updated', value, () => void heard.push(`id: ${label}`));
    watch.subscribe('accounts:updated', { owner_id: value }, () => void heard.push(`owner: ${label}`));
    watch.subscribe('accounts:updated', { code: value }, () => void heard.push(`code: ${label}`));
  }
  const end = () => void ended.push('not ended');
  watch.subscribe('accounts:updated', '42', end);
  expect(watch.unsubscribe('accounts:updated', 42n, end)).toBe(true);
  await watch.start();
  await db.sql(
    `insert into accounts values (42, 1, '1', 1), (1, 42, '1', 1), (2, 1, '42', 1), (9007199254740993, 9007199254740992, '1', 1)`,
  );
  await db.sql('update accounts set amount = 2');
  await settled(db, watch);
  const same = (column: string) => ['number', 'bigint', 'string'].map((type) => `${column}: ${type} 42`);
  expect(heard.toSorted()).toEqual([...same('code'), ...same('id'), ...same('owner'), 'id: bigint 9007199254740993'].toSorted()); // prettier-ignore
  expect(ended).toEqual([]);
});

test('a number that JavaScript has rounded is refused, unless the column is a float', async () => {
  await db.sql(
    'create table if not exists accounts (id bigint primary key, owner_id bigint, code text, amount float8)',
  );
  const watchers = defineWatchers<DB>()([['accounts', 'updated', { extraColumns: ['owner_id', 'amount'] }]]);
  const [watch, other] = [watchOf(watchers), watchOf(watchers)];
  const rounded = 2 ** 53 + 2;
  const problem = `accounts:updated: the value for 'id' is 9007199254740994, a number above 2^53, which JavaScript rounds\n    Pass a bigint or a string: 9007199254740993n or '9007199254740993'.`;
  other.subscribe('accounts:updated', rounded, () => {});
  await expect(other.start()).rejects.toMatchObject({
    code: 'CONFIGURATION',
    message: expect.stringContaining(problem),
  });
  const heard: number[] = [];
  watch.subscribe('accounts:updated', { amount: 1e20 }, ({ amount }) => void heard.push(amount));
  await watch.start();
  const subscribe = (filter: number | { owner_id: number } | { amount: number }) =>
    watch.subscribe('accounts:updated', filter, () => {});
  expect(() => subscribe(rounded)).toThrow(problem);
  expect(() => subscribe({ owner_id: -rounded })).toThrow(`the value for 'owner_id' is -9007199254740994`);
  subscribe(Number.MAX_SAFE_INTEGER);
  subscribe({ amount: 1e20 });
  await db.sql('insert into accounts (id, amount) values (77, 1e20)');
  await db.sql('update accounts set owner_id = 1 where id = 77');
  await settled(db, watch);
  expect(heard).toEqual([1e20]);
});
