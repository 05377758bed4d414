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
  test('sees the event, and the old values as far as they are known', () => {
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

  test('keeps an event from everybody, filtered or not, when it is not true', () => {
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

  test('counts as true or false like any value in JavaScript', () => {
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

  test('is asked once for each event, and not at all when nobody is meant', () => {
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

  test('is that of its own watcher only, also for labels and for names that objects have by nature', () => {
    const { subscribe, changed, receivers } = routingWhen({ quiet: () => false }, full, updated, [
      'users', 'updated', { label: 'quiet' },
    ], ['users', 'updated', { label: 'constructor' }]); // prettier-ignore
    for (const name of ['users:updated', 'quiet', 'constructor']) subscribe(name, noop);
    changed('updated', row);
    expect(receivers()).toEqual(['users:updated', 'constructor']);
  });

  test('is asked after the trigger columns', () => {
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

  test('is heeded by watchers with debug', () => {
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

describe('what a condition throws is a failure of everybody who is meant, and of nobody else:', () => {
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

  test('also undefined', () => {
    const { subscribe, changed, delivered } = routingWhen({ 'users:updated': throwing(undefined) }, full, updated);
    subscribe('users:updated', noop);
    changed('updated', row);
    expect(delivered).toMatchObject([{ obstacle: expect.any(TypeError) }]);
  });

  test('an absent column that it reads', () => {
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

  test('the next event is judged anew', () => {
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

test('a routing column that was not sent and a condition: only what the condition lets pass is delivered', () => {
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

describe('refused, all at once, is', () => {
  const define = (...given: readonly unknown[]) => problemsOf(() => defineWatchers(...(given as [never])));

  test('a condition of an unknown watcher, one that is no function, and whatever is wrong with the entries', () => {
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

  test('watchers with odd conditions that were made by hand', () => {
    for (const when of [null, 7, { 'users:updated': 7 }, { unknown: noop }]) {
      const watchers = { entries: [['users', 'updated']], when } as never;
      expect(problemsOf(() => createWatch({ slot: 'x', connection: {}, watchers }))).toHaveLength(1);
    }
  });
});

test('conditions that are changed afterwards change nothing', () => {
  const when: Record<string, () => boolean> = { 'users:updated': () => true };
  const watchers = defineWatchers([['users', 'updated']], { when });
  when['users:updated'] = () => false;
  expect(watchers.when!['users:updated']!({}, {})).toBe(true);
});
