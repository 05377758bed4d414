import { CapturedChange } from '../../src/changes/change.ts';
import { LedgerTransaction } from '../../src/changes/ledger.ts';
import type { Tuple, TupleValue } from '../../src/postgres/pgoutput/messages.ts';
import type { RelationPlan } from '../../src/watchers/plan.ts';
import type { UpdateType } from '../../src/types/watchers.ts';

/** PostgreSQL's texts by column; a column that is left out was not sent. */
export type Values = Readonly<Record<string, TupleValue>>;

/** The values of the columns that a plan needs, in its order. */
export function tupleOf({ relation, wanted }: RelationPlan, values: Values): Tuple {
  return wanted.map((index) => values[relation.columns[index]!.name]);
}

export function transactionAt(finalLsn: bigint, xid = Number(finalLsn)): LedgerTransaction {
  return new LedgerTransaction({ finalLsn, xid, committedAt: Date.UTC(2024, 0, 1) });
}

export function changeOf(
  plan: RelationPlan,
  type: UpdateType,
  { row = {}, old }: { readonly row?: Values; readonly old?: Values },
  { transaction = transactionAt(0x100n), ordinal = 0 }: { transaction?: LedgerTransaction; ordinal?: number } = {},
): CapturedChange {
  const before = old && tupleOf(plan, old);
  return new CapturedChange(transaction, ordinal, type, plan, tupleOf(plan, row), before, 1);
}
