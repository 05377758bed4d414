import { CapturedChange } from '../changes/change.ts';
import { LedgerTransaction } from '../changes/ledger.ts';
import type { Recorder } from '../delivery/recorder.ts';
import { Occurrence } from '../delivery/occurrence.ts';
import type { Tuple } from '../postgres/pgoutput/messages.ts';
import { Routing } from '../routing/routing.ts';
import type { PlannedWatcher, RelationPlan } from '../watchers/plan.ts';
import type { KeyTexts } from './key-order.ts';

/**
 * The rows of one chunk belong to no transaction of the stream: position 0/0, which is older than any change. The ledger does not
 * know it, so it neither holds the slot nor takes memory of the budget.
 */
export function chunkTransaction(readAt: number): LedgerTransaction {
  const transaction = new LedgerTransaction({ xid: 0, finalLsn: 0n, committedAt: readAt });
  transaction.open = false;
  return transaction;
}

/** Is notified when a row is delivered and handled. */
export interface Given {
  /** One of the watchers has handled it. */
  settled(watcher: string): void;
}

/** A row that was read from the table, as a change that inserts it. */
export class ExistingChange extends CapturedChange {
  readonly key: KeyTexts;
  /** Undefined: it is not recorded in the handler's transaction. */
  readonly recorder: Recorder | undefined;
  readonly #scope: string;

  /** `scope`: `existing/<version>/<run>/<schema.table>`. */
  constructor(
    transaction: LedgerTransaction,
    plan: RelationPlan,
    row: Tuple,
    key: KeyTexts,
    scope: string,
    recorder: Recorder | undefined,
  ) {
    super(transaction, 0, 'inserted', plan, row, undefined, 0);
    this.key = key;
    this.recorder = recorder;
    this.#scope = scope;
  }

  override get existing(): boolean {
    return true;
  }

  override get eventId(): string {
    const { key } = this;
    return `${this.#scope}/${key.length === 1 ? encoded(key[0]!) : key.map(encoded).join(',')}`;
  }
}

const plain = /^[\w-]*$/;

/** As `encodeURIComponent()`, but faster for numbers and UUIDs. */
function encoded(text: string): string {
  return plain.test(text) ? text : encodeURIComponent(text);
}

/** An existing row as one watcher sees it. */
export class ExistingOccurrence extends Occurrence {
  readonly #given: Given;

  constructor(planned: PlannedWatcher, change: ExistingChange, given: Given) {
    super(planned, change);
    this.#given = given;
  }

  settled(): void {
    this.#given.settled(this.planned.bound.watcher.name);
  }
}

/** Routes an existing row to the one subscription that reads it. */
export class ExistingRouting extends Routing {
  readonly #existing: ExistingOccurrence;

  constructor(planned: PlannedWatcher, change: ExistingChange, given: Given) {
    super(planned, change);
    this.#existing = new ExistingOccurrence(planned, change, given);
  }

  override get occurrence(): ExistingOccurrence {
    return this.#existing;
  }
}
