/** The reading of a table without a server: chunks, changes and handlers by hand. */
import { CapturedChange } from '../../src/changes/change.ts';
import { Budget } from '../../src/changes/budget.ts';
import { Ledger, type LedgerTransaction } from '../../src/changes/ledger.ts';
import type { ChunkRow } from '../../src/existing/chunk-row.ts';
import { type State, unread } from '../../src/existing/state.ts';
import { TableReading } from '../../src/existing/table-reading.ts';
import { planFor, usersTable } from './sample-tables.ts';
import { changeOf } from './sample-changes.ts';

const types = ['inserted', 'updated', 'deleted', 'truncated'] as const;
const plan = planFor(usersTable({ replicaIdentity: 'full' }), ...types.map((type) => ['users', type] as const));

/** Transactions below this id are seen by the snapshot of each chunk. */
export const seenBelow = 1000;

export function readingOf(state: Partial<State> = {}, { transaction = false, watchers = ['users:inserted'] } = {}) {
  const ledger = new Ledger(new Budget(Infinity, () => {}, () => {}), () => {}); // prettier-ignore
  const given: string[] = [];
  const open = new Map<string, ChunkRow>();
  const recorder = transaction ? ({} as never) : undefined;
  const rows = new TableReading(
    {
      watchers: new Set(watchers),
      active: true,
      ledger,
      deferrable: () => false,
      recorder,
      give: (row) => {
        given.push(row.id);
        open.set(row.id, row);
        for (let count = watchers.length - row.by.length; count > 0; count--) row.expect();
        row.expected();
      },
      wake: () => {},
    },
    'existing/v1/1/public.users',
    ['id'],
    { run: 1, ...unread, end: ['100'], ...state },
  );
  const begin = () => {
    rows.keyChanges.read(rows.keyChanges.next.length);
    rows.begin({ xmin: seenBelow, xmax: seenBelow, inProgress: new Set() }, plan, 0);
  };
  const add = (ids: readonly number[], reread = false) => {
    for (const id of ids) rows.add({ key: [String(id)], row: [String(id)], reread });
  };
  let lsn = 0n;
  let transactionOf: LedgerTransaction | undefined;
  const change = (
    type: (typeof types)[number],
    xid: number,
    { row, old }: { row?: { id: string }; old?: { id: string } } = {},
  ): CapturedChange => {
    lsn += 0x100n;
    transactionOf = ledger.begin({ xid, finalLsn: lsn, committedAt: 0 });
    const made = changeOf(plan, type, { ...(row && { row }), ...(old && { old }) }, { transaction: transactionOf });
    rows.before(made);
    ledger.commit(transactionOf, lsn + 1n);
    return made;
  };
  return {
    rows,
    ledger,
    given,
    begin,
    add,
    load: (ids: readonly number[], reread: readonly number[] = [], limit = ids.length) => {
      begin();
      add(ids);
      add(reread, true);
      rows.complete({ last: ids.length === 0 ? undefined : [String(ids.at(-1))], exhausted: ids.length < limit });
    },
    updated: (id: number, xid: number, from = id) =>
      change('updated', xid, { row: { id: String(id) }, old: { id: String(from) } }),
    deleted: (id: number, xid: number) => change('deleted', xid, { row: { id: String(id) } }),
    truncated: (xid: number) => change('truncated', xid),
    handle: (...ids: number[]) => {
      for (const id of ids) for (const name of watchers) open.get(String(id))!.settled(name);
    },
    rest: () => {
      for (let row = rows.next(); row; row = rows.next()) rows.give(row);
    },
    row: (id: number) => open.get(String(id))!,
    state: () => rows.state(1),
  };
}
