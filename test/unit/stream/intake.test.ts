import { expect, test, vi } from 'vitest';
import { Budget } from '../../../src/changes/budget.ts';
import { CapturedChange } from '../../../src/changes/change.ts';
import { Ledger } from '../../../src/changes/ledger.ts';
import type { Relation, RowChange } from '../../../src/postgres/pgoutput/messages.ts';
import { Intake } from '../../../src/stream/intake.ts';
import { planFor, usersTable } from '../../support/sample-tables.ts';

const plan = planFor(
  usersTable({ replicaIdentity: 'full' }),
  ...(['inserted', 'updated', 'deleted', 'truncated'] as const).map((type) => ['users', type] as const),
);
const { relation } = plan;
const unwatched: Relation = { ...relation, oid: 1, name: 'logs' };
const planOf = (asked: Relation) => (asked === relation ? plan : undefined);

function intaking() {
  const changes: CapturedChange[] = [];
  const advance = vi.fn<() => void>();
  const ledger = new Ledger(new Budget(1_000_000, vi.fn(), vi.fn()), advance);
  const intake = new Intake(ledger, {
    emit: (captured) => {
      ledger.hold(captured); // nothing settles, unless a test does it
      if (captured instanceof CapturedChange) changes.push(captured);
    },
    wantsCommits: false,
    wantsMessages: () => true,
    refusedAnnotation: () => {},
  });
  const begin = (finalLsn: bigint) => intake.begin({ tag: 'begin', finalLsn, committedAt: 0, xid: 7 });
  const commit = (commitLsn: bigint) => intake.commit({ tag: 'commit', commitLsn, endLsn: commitLsn + 8n });
  const insert = (id: string, of = relation, bytes = 100) =>
    intake.change({ tag: 'insert', relation: of, new: [id] }, planOf, bytes);
  const ids = () => changes.map(({ eventId, row }) => `${eventId}=${row[0]}`);
  return { intake, ledger, changes, begin, commit, insert, ids };
}

test('ordinals count every change that the publication carries, watched or not, from 0 in each transaction', () => {
  const { begin, commit, insert, ids } = intaking();
  begin(0x100n);
  for (const [id, of] of [['a'], ['b', unwatched], ['c']] as const) insert(id, of);
  commit(0x100n);
  begin(0x200n);
  insert('d', unwatched);
  insert('e');
  expect(ids()).toEqual(['0/100/0=a', '0/100/2=c', '0/200/1=e']);
});

test('a change has its rows, and counts the overhead of holding it', () => {
  const { intake, begin, changes } = intaking();
  begin(0x100n);
  const messages: RowChange[] = [
    { tag: 'insert', relation, new: ['1'] },
    { tag: 'update', relation, new: ['2'], old: ['1'] },
    { tag: 'update', relation, new: ['2'], old: undefined },
    { tag: 'delete', relation, old: ['2'] },
  ];
  for (const message of messages) intake.change(message, planOf, 100);
  expect(changes.map(({ type, row, old, bytes }) => [type, row, old, bytes > 100])).toEqual([
    ['inserted', ['1'], undefined, true],
    ['updated', ['2'], ['1'], true],
    ['updated', ['2'], undefined, true],
    ['deleted', ['2'], undefined, true],
  ]);
});

test('a truncate of several tables is one change, for the watchers of each table', () => {
  const { intake, begin, changes, insert } = intaking();
  const posts: Relation = { ...relation, oid: 2, name: 'posts' };
  const planOfPosts = { ...plan, relation: posts };
  begin(0x100n);
  const relations = [unwatched, posts, relation];
  intake.change({ tag: 'truncate', relations }, (asked) => (asked === posts ? planOfPosts : planOf(asked)), 9);
  insert('a');
  expect(changes.map((change) => [change.plan.relation.name, change.type, change.ordinal, change.row])).toEqual([
    ['posts', 'truncated', 0, []],
    ['users', 'truncated', 0, []],
    ['users', 'inserted', 1, ['a']],
  ]);
});

test('a change without an interested watcher is not held', () => {
  const updatesOnly = planFor(usersTable(), ['users', 'updated']);
  const { intake, begin, commit, changes, ledger } = intaking();
  begin(0x100n);
  intake.change({ tag: 'insert', relation, new: ['1'] }, () => updatesOnly, 100);
  commit(0x100n);
  expect(changes).toEqual([]);
  expect(ledger.confirmed).toBe(0x108n);
});

test('`inside` is true between Begin and Commit, even for a transaction that is skipped', () => {
  const { intake, begin, commit } = intaking();
  const seen = [intake.inside];
  for (let connection = 0; connection < 2; connection++) {
    begin(0x100n);
    seen.push(intake.inside);
    commit(0x100n);
    seen.push(intake.inside);
    intake.connect(true);
  }
  begin(0x200n);
  intake.connect(true);
  expect([...seen, intake.inside]).toEqual([false, true, false, true, false, false]);
});

test('a reconnect delivers nothing twice: complete transactions are skipped', () => {
  const { intake, ledger, changes, begin, commit, insert, ids } = intaking();
  const send = () => {
    for (const lsn of [0x100n, 0x200n]) {
      begin(lsn);
      insert(`${lsn}`);
      commit(lsn);
    }
  };
  send();
  intake.connect(true);
  send();
  begin(0x300n);
  insert('new');
  commit(0x300n);
  expect(ids()).toEqual(['0/100/0=256', '0/200/0=512', '0/300/0=new']);
  for (const change of changes) ledger.settle(change);
  expect(ledger.confirmed).toBe(0x308n);
});

test('a partly received transaction continues where it stopped, however often the connection is lost', () => {
  const { intake, ledger, changes, begin, commit, insert, ids } = intaking();
  begin(0x100n);
  for (const id of ['a', 'b']) insert(id);
  for (const rows of [['a'], ['a', 'b', 'c'], []]) {
    intake.connect(true);
    begin(0x100n);
    for (const id of rows) insert(id);
  }
  intake.connect(true);
  begin(0x100n);
  for (const id of ['a', 'b', 'c', 'd']) insert(id);
  expect(ledger.confirmed).toBeUndefined();
  commit(0x100n);
  expect(ids()).toEqual(['0/100/0=a', '0/100/1=b', '0/100/2=c', '0/100/3=d']);
  expect(new Set(changes.map(({ transaction }) => transaction)).size).toBe(1);
  for (const change of changes) ledger.settle(change);
  expect(ledger.confirmed).toBe(0x108n);
});

test('a complete transaction that is sent again before a partly received one adds nothing to it', () => {
  const { intake, begin, commit, insert, ids } = intaking();
  const sendFirst = () => {
    begin(0x100n);
    for (const id of ['a', 'b', 'c']) insert(id);
    commit(0x100n);
  };
  sendFirst();
  begin(0x200n);
  insert('d');
  intake.connect(true);
  sendFirst();
  begin(0x200n);
  for (const id of ['d', 'e']) insert(id);
  expect(ids().slice(3)).toEqual(['0/200/0=d', '0/200/1=e']);
});

test('the xid is that of the current transaction, even while it is skipped', () => {
  const { intake, commit } = intaking();
  for (const xid of [7, 8, 7]) {
    intake.begin({ tag: 'begin', finalLsn: BigInt(xid), committedAt: 0, xid });
    expect(intake.xid).toBe(xid);
    commit(BigInt(xid));
  }
});

test('a partly received transaction that the server does not send again was skipped by somebody: SLOT_MOVED', () => {
  const { intake, begin, insert } = intaking();
  begin(0x100n);
  insert('a');
  intake.connect(true);
  const moved = expect.objectContaining({ code: 'SLOT_MOVED', message: expect.stringContaining('0/200') });
  expect(() => begin(0x200n)).toThrow(moved);
});

test('in another history all is new, and equal positions are other transactions', () => {
  const { intake, ledger, begin, commit, insert, ids } = intaking();
  begin(0x200n);
  insert('a');
  intake.connect(false);
  ledger.forget();
  begin(0x100n);
  insert('b');
  commit(0x100n);
  expect(ids()).toEqual(['0/200/0=a', '0/100/0=b']);
});

test('a keepalive outside of transactions is handled once everything before it is', () => {
  const { intake, ledger, changes, begin, commit, insert } = intaking();
  intake.idle(0x50n);
  expect(ledger.confirmed).toBe(0x50n);
  begin(0x100n);
  insert('a');
  commit(0x100n);
  intake.idle(0x180n);
  expect(ledger.confirmed).toBe(0x50n);
  ledger.settle(changes[0]!);
  expect(ledger.confirmed).toBe(0x180n);
});
