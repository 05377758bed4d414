import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fingerprints } from '../../../src/routing/fingerprints.ts';
import { Route } from '../../../src/routing/route.ts';
import { type Key, Shape } from '../../../src/routing/shape.ts';
import { SubscriptionList } from '../../../src/routing/subscription-list.ts';
import { ActiveSubscription, type Filter } from '../../../src/routing/subscription.ts';
import { settingsOf } from '../../support/delivering.ts';
import { oids, planFor, usersTable, watchersFor } from '../../support/sample-tables.ts';

const route = new Route(watchersFor(['users', 'updated'])[0]!);
const noop = () => {};
const subscription = (filter: Filter) => new ActiveSubscription(route, filter, noop, settingsOf());
const shapeBy = (...columns: readonly string[]) => new Shape(columns, new Fingerprints());

/** The subscriptions under a key. */
function foundAt(shape: Shape, key: Key | undefined): readonly ActiveSubscription[] {
  const found = shape.at(key ?? null);
  return found === undefined ? [] : found instanceof SubscriptionList ? found.active : [found];
}

function end(shape: Shape, one: ActiveSubscription): void {
  one.active = false;
  shape.remove(one);
}

/** The subscriptions by id, each of them added. */
function shapeOf(...filters: readonly Filter[]) {
  const shape = shapeBy();
  const all = filters.map(subscription);
  for (const one of all) shape.add(one);
  const find = (text: string | null) => foundAt(shape, shape.key([text])).map((one) => all.indexOf(one));
  return { shape, all, find };
}

describe('subscriptions are found by one look-up', () => {
  test('one, several, or none, in the order in which they were added', () => {
    const { find } = shapeOf(1, 2, '1', 1n);
    expect([find('1'), find('2'), find('3'), find(null)]).toEqual([[0, 2, 3], [1], [], []]);
  });

  test('and any of them can be removed; an earlier result stays unchanged', () => {
    const { shape, all, find } = shapeOf(1, 1, 1);
    const before = foundAt(shape, 1);
    end(shape, all[1]!);
    expect([find('1'), before.length]).toEqual([[0, 2], 3]);
    end(shape, all[0]!);
    expect([find('1'), shape.empty]).toEqual([[2], false]);
    end(shape, all[2]!);
    expect([find('1'), shape.empty]).toEqual([[], true]);
  });

  test('the subscriptions that are present are found, whatever was added and removed', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ add: fc.boolean(), id: fc.nat({ max: 3 }), pick: fc.nat() })), (steps) => {
        const shape = shapeBy();
        const there: ActiveSubscription[] = [];
        for (const { add, id, pick } of steps) {
          if (add) there.push(subscription(id));
          if (add) shape.add(there.at(-1)!);
          else if (there.length > 0) end(shape, there.splice(pick % there.length, 1)[0]!);
        }
        for (let id = 0; id <= 3; id++)
          expect(shape.like(id, noop)).toEqual(there.filter(({ filter }) => filter === id));
        expect(new Set(shape.all())).toEqual(new Set(there));
        expect(shape.empty).toBe(there.length === 0);
      }),
    );
  });
});

describe('once the types are known', () => {
  test('equal values are found under one key, earlier ones too', () => {
    const { shape, all, find } = shapeOf('AB', 'ab', 'c');
    shape.bind([oids.uuid]);
    expect([find('ab'), find('AB'), find('C')]).toEqual([[0, 1], [0, 1], [2]]);
    expect(shape.like('Ab', noop)).toEqual(all.slice(0, 2));
    end(shape, all[0]!);
    expect(find('ab')).toEqual([1]);
  });

  test('and when they change, values are found by the new types', () => {
    const { shape, find } = shapeOf('AB', 'ab');
    shape.bind([oids.uuid]);
    shape.bind([oids.text]);
    expect([find('ab'), find('AB')]).toEqual([[1], [0]]);
  });
});

test('a composite key consists of all its columns, in the order of their names', () => {
  const shape = shapeBy('a', 'b');
  const one = subscription({ b: 2, a: null });
  shape.add(one);
  expect(foundAt(shape, shape.key([null, '2']))).toEqual([one]);
  for (const other of [
    ['2', null],
    [null, '3'],
    ['1', '2'],
    [null, null],
  ])
    expect(foundAt(shape, shape.key(other))).toEqual([]);
  expect(shape.like({ a: null, b: '2' }, noop)).toEqual([one]);
});

test('null is null, whatever the types are', () => {
  const [single, double] = [shapeBy('a'), shapeBy('a', 'b')];
  single.bind([oids.uuid]);
  double.bind([oids.uuid, oids.uuid]);
  const [one, other] = [subscription({ a: null }), subscription({ a: null, b: 'AB' })];
  single.add(one);
  double.add(other);
  expect(foundAt(single, single.key([null]))).toEqual([one]);
  expect(foundAt(double, double.key([null, 'ab']))).toEqual([other]);
});

test('a key with an unknown value is unknown', () => {
  const shape = shapeBy('a', 'b');
  expect([shape.key(['1', undefined]), shape.key([undefined, null])]).toEqual([undefined, undefined]);
});

test('the columns of a filter are looked up in each relation again', () => {
  const shape = shapeBy('email', 'role_id');
  const entry = (...extraColumns: string[]) => ['users', 'updated', { extraColumns }] as const;
  const plans = [entry('role_id', 'email'), entry('email', 'bio', 'role_id')].map(
    (one) => planFor(usersTable(), one).watchers.updated[0]!,
  );
  for (const planned of [plans[0]!, plans[1]!, plans[0]!]) {
    const columns = shape.columnsIn(planned);
    expect(columns.map(({ name }) => name)).toEqual(['email', 'role_id']);
    for (const column of columns) expect(planned.columns).toContain(column);
  }
  expect(shapeBy().columnsIn(plans[0]!)).toBe(plans[0]!.primaryKey);
});
