import { describe, expect, test, vi } from 'vitest';
import { createWatch, defineWatchers } from '../../../src/index.ts';
import { problemsOf } from '../../support/problems.ts';
import { routingWhen } from '../../support/routing.ts';
import { usersTable } from '../../support/sample-tables.ts';

const noop = () => {};
const full = usersTable({ replicaIdentity: 'full' });
const updated = ['users', 'updated', { extraColumns: ['role_id', 'bio'] }] as const;
const row = { id: '1', role_id: '7', email: 'a@b', bio: 'b' };

describe('a condition', () => {
  test('sees the event, and the old values that are known', () => {
    for (const [table, previous] of [
      [full, { id: 1, role_id: 6 }],
      [usersTable(), { id: 1 }],
    ] as const) {
      const when = vi.fn<() => boolean>(() => true);
      const { subscribe, changed } = routingWhen({ 'users:updated': when }, table, updated);
      subscribe('users:updated', noop);
      changed('updated', row, table === full ? { ...row, role_id: '6', bio: undefined } : undefined);
      expect(when.mock.calls).toEqual([[{ id: 1, role_id: 7, bio: 'b' }, previous]]);
    }
  });

  test('withholds an event from all subscribers, filtered or not, when it is false', () => {
    const when = { 'users:updated': (event: any, previous: any) => event.role_id !== previous.role_id };
    const { subscribe, changed, receivers } = routingWhen(when, full, updated);
    subscribe('users:updated', noop, { name: 'all' });
    subscribe('users:updated', 1, noop, { name: 'id' });
    subscribe('users:updated', { role_id: 7 }, noop, { name: 'role' });
    changed('updated', row, row);
    expect(receivers()).toEqual([]);
    changed('updated', row, { ...row, role_id: '6' });
    expect(receivers()).toEqual(['all', 'id', 'role']);
  });

  test('counts as true or false like any JavaScript value', () => {
    const { subscribe, changed, receivers } = routingWhen(
      { 'users:updated': ((event: any) => event.bio) as never },
      full,
      updated,
    );
    subscribe('users:updated', noop, { name: 'all' });
    changed('updated', { ...row, bio: '' });
    changed('updated', { ...row, bio: null });
    expect(receivers()).toEqual([]);
    changed('updated', row);
    expect(receivers()).toEqual(['all']);
  });

  test('is evaluated once for each event, and not at all when it has no subscribers', () => {
    const when = vi.fn<() => boolean>(() => false);
    const { subscribe, changed } = routingWhen({ 'users:updated': when }, full, updated);
    changed('updated', row);
    subscribe('users:updated', { role_id: 8 }, noop);
    changed('updated', row);
    expect(when).not.toHaveBeenCalled();
    for (let count = 0; count < 3; count++) subscribe('users:updated', noop, { name: `${count}` });
    changed('updated', row);
    expect(when).toHaveBeenCalledOnce();
  });

  test('belongs to one watcher, even with labels and with names that objects inherit', () => {
    const { subscribe, changed, receivers } = routingWhen({ quiet: () => false }, full, updated, [
      'users', 'updated', { label: 'quiet' },
    ], ['users', 'updated', { label: 'constructor' }]); // prettier-ignore
    for (const name of ['users:updated', 'quiet', 'constructor']) subscribe(name, noop);
    changed('updated', row);
    expect(receivers()).toEqual(['users:updated', 'constructor']);
  });

  test('is evaluated after the trigger columns', () => {
    const when = vi.fn<() => boolean>(() => true);
    const { subscribe, changed, receivers } = routingWhen({ mailed: when }, full, [
      'users', 'updated', { label: 'mailed', triggerColumns: ['email'] },
    ]); // prettier-ignore
    subscribe('mailed', noop);
    changed('updated', row, row);
    expect([receivers(), when.mock.calls]).toEqual([[], []]);
    changed('updated', row, { ...row, email: 'x' });
    expect(receivers()).toEqual(['mailed']);
  });

  test('applies to watchers with debug', () => {
    const { subscribe, changed, receivers, lines } = routingWhen({ 'users:updated': (event) => event.id === 2 }, full, [
      'users',
      'updated',
      { debug: true },
    ]);
    subscribe('users:updated', noop);
    changed('updated', row);
    expect([receivers(), lines]).toEqual([[], ['change received: users:updated']]);
    changed('updated', { ...row, id: '2' });
    expect([receivers(), lines.at(-1)]).toEqual([['users:updated'], 'delivering to users:updated']);
  });
});

describe('an error in a condition is a failure for every subscriber of the event, and for no other:', () => {
  const throwing = (thrown: unknown) => () => {
    throw thrown;
  };

  test('an error', () => {
    const broken = new Error('broken');
    const { subscribe, changed, delivered } = routingWhen({ 'users:updated': throwing(broken) }, full, updated);
    subscribe('users:updated', noop, { name: 'all' });
    subscribe('users:updated', 1, noop, { name: 'one' });
    subscribe('users:updated', 2, noop, { name: 'another' });
    changed('updated', row);
    expect(delivered.map(({ to, obstacle }) => [to, obstacle])).toEqual([['all', broken], ['one', broken]]); // prettier-ignore
  });

  test('undefined', () => {
    const { subscribe, changed, delivered } = routingWhen({ 'users:updated': throwing(undefined) }, full, updated);
    subscribe('users:updated', noop);
    changed('updated', row);
    expect(delivered).toMatchObject([{ obstacle: expect.any(TypeError) }]);
  });

  test('a read of an absent column', () => {
    const { subscribe, changed, delivered } = routingWhen(
      { 'users:updated': (event) => event.bio !== null },
      usersTable(),
      updated,
    );
    subscribe('users:updated', noop);
    changed('updated', { ...row, bio: undefined });
    expect(delivered).toMatchObject([{ obstacle: { code: 'VALUE_ABSENT' } }]);
  });

  test('a promise, which would count as true', () => {
    const { subscribe, changed, delivered } = routingWhen(
      { 'users:updated': (() => Promise.resolve(false)) as never },
      full,
      updated,
    );
    subscribe('users:updated', noop);
    changed('updated', row);
    expect(delivered).toMatchObject([
      { obstacle: { message: 'users:updated: the condition must be synchronous, but it returned a promise' } },
    ]);
  });

  test('the next event is evaluated normally', () => {
    let calls = 0;
    const { subscribe, changed, delivered } = routingWhen(
      {
        'users:updated': () => {
          if (calls++ === 0) throw new Error('broken');
          return true;
        },
      },
      full,
      updated,
    );
    subscribe('users:updated', noop);
    changed('updated', row);
    changed('updated', row);
    expect(delivered.map(({ obstacle }) => obstacle?.message)).toEqual(['broken', undefined]);
  });
});

test('with a routing column that was not sent, the condition still decides which events are delivered', () => {
  const { subscribe, changed, delivered } = routingWhen(
    { 'users:updated': (event) => event.role_id === 7 },
    usersTable(),
    updated,
  );
  subscribe('users:updated', { bio: 'b' }, noop, { name: 'filtered' });
  changed('updated', { ...row, bio: undefined, role_id: '8' });
  expect(delivered).toEqual([]);
  changed('updated', { ...row, bio: undefined });
  expect(delivered).toMatchObject([{ to: 'filtered', obstacle: undefined }]);
});

describe('are refused, all at once:', () => {
  const define = (...given: readonly unknown[]) => problemsOf(() => defineWatchers(...(given as [never])));

  test('a condition of an unknown watcher, one that is not a function, and every mistake in the entries', () => {
    const when = { 'users:updated': noop, 'users:update': noop, 'users:inserted': 'id > 7' };
    const problems = define(
      [
        ['users', 'updated', { extra: [] }],
        ['users', 'inserted'],
      ],
      { when, where: {} },
    );
    expect(problems).toHaveLength(4);
    for (const text of ["'extra'", "'where'", "'users:update'", "'users:inserted'"])
      expect(problems.join('\n')).toContain(text);
  });

  test.each([null, 7, 'when', () => true])('%s as options or conditions', (odd) => {
    expect(define([['users', 'updated']], odd)).toHaveLength(1);
    if (typeof odd === 'function') return;
    expect(define([['users', 'updated']], { when: odd })).toHaveLength(1);
  });

  test('watchers with strange conditions that were made by hand', () => {
    for (const when of [null, 7, { 'users:updated': 7 }, { unknown: noop }]) {
      const watchers = { entries: [['users', 'updated']], when } as never;
      expect(problemsOf(() => createWatch({ slot: 'x', connection: {}, watchers }))).toHaveLength(1);
    }
  });
});

test('conditions that are changed afterwards have no effect', () => {
  const when: Record<string, () => boolean> = { 'users:updated': () => true };
  const watchers = defineWatchers([['users', 'updated']], { when });
  when['users:updated'] = () => false;
  expect(watchers.when!['users:updated']!({}, {})).toBe(true);
});
