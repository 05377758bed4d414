/** Many combinations of filter columns on one watcher. */
import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { fingerprint, mixed } from '../../../src/routing/fingerprints.ts';
import { Shape } from '../../../src/routing/shape.ts';
import { Sieve } from '../../../src/routing/sieve.ts';
import { routingFor } from '../../support/routing.ts';
import { column, oids, usersTable } from '../../support/sample-tables.ts';

afterEach(() => void vi.restoreAllMocks());
const noop = () => {};
const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const table = (replicaIdentity: 'default' | 'full' = 'full') =>
  usersTable({
    replicaIdentity,
    columns: [column('id', oids.int4, { notNull: true }), ...names.map((name) => column(name, name === 'a' ? oids.uuid : oids.text))],
  }); // prettier-ignore
const watching = (replicaIdentity?: 'default' | 'full') =>
  routingFor(table(replicaIdentity), ['users', 'updated', { extraColumns: names }]);

/** The sets of two columns or more. */
const combinations = Array.from({ length: 256 }, (_, bits) => names.filter((_name, at) => bits & (1 << at))).filter(
  (columns) => columns.length > 1,
);
const rowOf = (value: string) => ({ id: '1', ...Object.fromEntries(names.map((name) => [name, value])) });

test('a change needs few keys for combinations without a match, and one for each combination with a match', () => {
  const { bind, subscribe, changed, receivers } = watching();
  bind();
  for (const columns of combinations) {
    for (const value of ['x', 'y', null])
      subscribe('users:updated', Object.fromEntries(columns.map((name) => [name, value])), noop);
  }
  const keys = vi.spyOn(Shape.prototype, 'currentKey');
  changed('updated', rowOf('z'));
  expect(keys.mock.calls.length).toBeLessThan(combinations.length / 10);
  changed('updated', rowOf('x'), rowOf('y'));
  expect(receivers()).toHaveLength(2 * combinations.length);
});

test('subscriptions are found by the new or old values of the row, whatever was subscribed and ended before', () => {
  const value = fc.constantFrom(null, 'ab', 'AB', 'c', 'x'.repeat(40), `${'x'.repeat(39)}y`);
  const filter = fc.dictionary(fc.constantFrom('a', 'b', 'c'), value, { minKeys: 1 });
  const row = fc.record({ a: value, b: value, c: value });
  const equal = (name: string, one: unknown, other: unknown) =>
    name === 'a' ? String(one).toLowerCase() === String(other).toLowerCase() : one === other;
  fc.assert(
    fc.property(fc.array(filter), fc.array(fc.nat({ max: 20 })), row, fc.option(row), (filters, ended, now, before) => {
      const { bind, subscribe, changed, receivers } = watching();
      bind();
      const all = filters.map((one, index) => ({ name: `s${index}`, filter: one, subscription: subscribe('users:updated', one, noop, { name: `s${index}` }) }));
      for (const index of ended) all[index]?.subscription.unsubscribe();
      const fits = (one: Record<string, unknown>, values: Record<string, unknown> | null) =>
        values !== null && Object.keys(one).every((name) => equal(name, one[name], values[name]));
      changed('updated', { id: '1', ...now }, before === null ? undefined : { id: '1', ...before });
      const meant = all.filter(({ filter: one, subscription }) => subscription.active && (fits(one, now) || fits(one, before)));
      expect(receivers().toSorted()).toEqual(meant.map(({ name }) => name).toSorted());
    }),
  );
}); // prettier-ignore

test('a combination with a value that was not sent is looked up, because it may match', () => {
  const { bind, subscribe, changed, receivers } = watching('default');
  bind();
  for (const other of ['x', 'y']) subscribe('users:updated', { b: other, c: 'unknown' }, noop);
  changed('updated', { ...rowOf('x'), c: undefined });
  expect(receivers()).toEqual(['users:updated {"b":"x","c":"unknown"}']);
});

test('a filter by a column that turns out to be missing does not disturb the others', () => {
  const { bind, subscribe, changed, receivers, router } = watching();
  const route = router.routes.get('users:updated')!;
  const like = subscribe('users:updated', { b: 'x', c: 'x' }, noop);
  const ghost = Object.assign(Object.create(like) as typeof like, { filter: { b: 'x', ghost: 1 }, active: true });
  route.add(ghost);
  Object.assign(ghost, { active: false });
  route.remove(ghost);
  bind();
  changed('updated', rowOf('x'));
  expect(receivers()).toEqual(['users:updated {"b":"x","c":"x"}']);
});

test('a sieve contains the values added to it, and few others', () => {
  const number = (index: number) => mixed(fingerprint(`value ${index}`), 7);
  for (const count of [1, 64, 1000, 5000]) {
    const sieve = new Sieve(count);
    for (let index = 0; index < count; index++) sieve.add(number(index));
    expect(sieve.full).toBe(false);
    let wrong = 0;
    for (let index = 0; index < count; index++) expect(sieve.mayHave(number(index))).toBe(true);
    for (let index = count; index < count + 10_000; index++) if (sieve.mayHave(number(index))) wrong++;
    expect(wrong).toBeLessThan(1500);
  }
});

test('fingerprints distinguish texts by length, beginning and end', () => {
  const long = 'y'.repeat(1000);
  const texts = [null, '', 'a', 'b', 'ab', 'ba', long, `${long}y`, `x${long.slice(1)}`, `${long.slice(1)}x`];
  expect(new Set(texts.map(fingerprint)).size).toBe(texts.length);
});
