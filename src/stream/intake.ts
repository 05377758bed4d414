import { CapturedChange } from '../changes/change.ts';
import { CapturedCommit } from '../changes/commit.ts';
import type { Ledger, LedgerTransaction } from '../changes/ledger.ts';
import { WatchError } from '../errors.ts';
import { CapturedMessage } from '../changes/message.ts';
import type { Begin, Commit, LogicalMessage, Relation, RowChange, Tuple } from '../postgres/pgoutput/messages.ts';
import { parsedBytes } from '../watchers/parsed.ts';
import type { RelationPlan } from '../watchers/plan.ts';
import type { ReceivingTransaction } from '../types/events.ts';
import type { UpdateType } from '../types/watchers.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { RecentTransactions, Rewound } from './recent-transactions.ts';

/** What a held change takes in memory besides its values: row, event, context and their places in queues. */
const overhead = 512;
const empty: Tuple = Object.freeze([]);
const updateTypes = { insert: 'inserted', update: 'updated', delete: 'deleted' } as const;

export interface IntakeHost {
  emit(captured: CapturedChange | CapturedMessage | CapturedCommit): void;
  /** Whether somebody wants to know where transactions end. */
  readonly wantsCommits: boolean;
  /** Whether somebody wants to hear of messages with this prefix. */
  wantsMessages(prefix: string): boolean;
}

/**
 * Numbers the changes of each transaction, enters transactions into the ledger, and skips what was received before:
 * a new connection begins at the confirmed position and sends again what is still being handled.
 */
export class Intake {
  readonly #ledger: Ledger;
  readonly #host: IntakeHost;
  /**
   * The newest transaction that was begun, and how many of its changes and of its messages were received: apart, because
   * messages are only sent while somebody wants them.
   */
  #newest: LedgerTransaction | undefined;
  #receivedChanges = 0;
  #receivedMessages = 0;
  /** The transaction that this connection is in; undefined also while it repeats one that was received whole. */
  #current: LedgerTransaction | undefined;
  #inside = false;
  #xid = 0;
  #committedAt = 0;
  /** Changes, messages and bytes of the transaction so far, on this connection. */
  #ordinal = 0;
  #messages = 0;
  #bytes = 0;
  #reached: Lsn = 0n;
  readonly #recent = new RecentTransactions();
  /** This connection repeats what was received over an earlier one, and has not come to its end. */
  #repeating = false;

  constructor(ledger: Ledger, host: IntakeHost) {
    this.#ledger = ledger;
    this.#host = host;
  }

  /** Between Begin and Commit. */
  get inside(): boolean {
    return this.#inside;
  }

  get repeating(): boolean {
    return this.#repeating;
  }

  /** The last transaction that was begun. */
  get newest(): LedgerTransaction | undefined {
    return this.#newest;
  }

  /** Every transaction that committed before this position has been received. */
  get reached(): Lsn {
    return this.#reached;
  }

  /** Of the transaction that this connection is in, also of one that is skipped. */
  get xid(): number {
    return this.#xid;
  }

  /** The transaction that is coming in, also one that is skipped. */
  get receiving(): ReceivingTransaction | undefined {
    if (!this.#inside) return undefined;
    return {
      xid: this.#xid,
      committedAt: new Date(this.#committedAt),
      changes: this.#ordinal,
      bytes: this.#bytes,
    };
  }

  /** So many more bytes came in. */
  received(bytes: number): void {
    this.#bytes += bytes;
  }

  wantsMessages(prefix: string): boolean {
    return this.#host.wantsMessages(prefix);
  }

  /**
   * A new connection. `continues`: it goes on in the history that was received so far. `asBefore`: it sends what the one
   * before sent; once messages are asked for, transactions come that were passed over as empty.
   */
  connect(continues: boolean, asBefore = true): void {
    this.#current = undefined;
    this.#inside = false;
    this.#repeating = continues && this.#newest !== undefined;
    if (!continues || !asBefore) this.#recent.clear();
    if (continues) return;
    this.#newest = undefined;
    this.#receivedChanges = this.#receivedMessages = 0;
    this.#reached = 0n;
  }

  begin(begin: Begin): void {
    const newest = this.#newest;
    this.#inside = true;
    this.#xid = begin.xid;
    this.#committedAt = begin.committedAt;
    this.#ordinal = this.#messages = this.#bytes = 0;
    if (newest !== undefined && begin.finalLsn <= newest.finalLsn) {
      if (!this.#recent.agrees(begin)) throw new Rewound(begin.finalLsn);
      if (begin.finalLsn === newest.finalLsn) this.#repeating = false;
      // Received before: skipped when it was received whole, else taken up where it broke off.
      this.#current = begin.finalLsn === newest.finalLsn && newest.endLsn === undefined ? newest : undefined;
      return;
    }
    this.#refuseJump(begin.finalLsn);
    this.#repeating = false;
    this.#reached = begin.finalLsn;
    this.#newest = this.#current = this.#ledger.begin(begin);
    this.#recent.add(begin);
    this.#receivedChanges = this.#receivedMessages = 0;
  }

  change(message: RowChange, planOf: (relation: Relation) => RelationPlan | undefined, bytes: number): void {
    const ordinal = this.#ordinal++;
    const transaction = this.#current;
    if (transaction === undefined || ordinal < this.#receivedChanges) return; // over an earlier connection
    this.#receivedChanges = this.#ordinal;
    if (message.tag === 'truncate') {
      for (const relation of message.relations)
        this.#capture(transaction, ordinal, 'truncated', planOf(relation), empty, undefined, bytes);
      return;
    }
    const row = message.tag === 'delete' ? message.old : message.new;
    const old = message.tag === 'update' ? message.old : undefined;
    this.#capture(transaction, ordinal, updateTypes[message.tag], planOf(message.relation), row, old, bytes);
  }

  message(message: LogicalMessage, bytes: number): void {
    if (!message.transactional) {
      this.#outside(message, bytes);
      return;
    }
    const number = this.#messages++;
    const transaction = this.#current;
    if (transaction === undefined || number < this.#receivedMessages) return;
    this.#receivedMessages = this.#messages;
    this.#emit(transaction, this.#ordinal, number, message, bytes);
  }

  commit(commit: Commit): void {
    this.#inside = false;
    const transaction = this.#current;
    this.#current = undefined;
    if (transaction === undefined) return;
    if (this.#host.wantsCommits) this.#host.emit(new CapturedCommit(transaction, overhead));
    this.#ledger.commit(transaction, commit.endLsn);
    this.#reached = commit.endLsn;
  }

  /** A keepalive outside of transactions: the server has come this far without anything for us. */
  idle(lsn: Lsn): void {
    const end = this.#newest?.endLsn;
    if (this.#repeating && end !== undefined && lsn >= end) this.#repeating = false;
    this.#ledger.idle(lsn);
    if (!this.#repeating && lsn > this.#reached) this.#reached = lsn;
  }

  /** What was received in part must be sent again before anything that follows it. */
  #refuseJump(next: Lsn): void {
    const newest = this.#newest;
    if (newest !== undefined && newest.endLsn === undefined) {
      throw new WatchError(
        'SLOT_MOVED',
        `the server does not send the transaction at ${newest.commitLsn} again, of which a part was received, but goes on at ${formatLsn(next)}`,
        {
          solution:
            'Something advanced or recreated the slot: changes may be missing. Bring what depends on them up to date, then start again.',
        },
      );
    }
  }

  /** A message outside of transactions is one of its own: begun and ended by a single record, of which the end is known. */
  #outside(message: LogicalMessage, bytes: number): void {
    const newest = this.#newest;
    const finalLsn = message.lsn - 1n; // somewhere in the record: the next one may begin at its end
    if (newest !== undefined && finalLsn <= newest.finalLsn) return;
    this.#refuseJump(message.lsn);
    const transaction = this.#ledger.begin({ xid: 0, finalLsn, committedAt: Date.now() }, message.lsn);
    this.#newest = transaction;
    this.#emit(transaction, 0, 0, message, bytes);
    this.#ledger.commit(transaction, message.lsn);
  }

  /** Unless nobody wanted it when it was decoded. */
  #emit(
    transaction: LedgerTransaction,
    ordinal: number,
    number: number,
    { prefix, content, transactional }: LogicalMessage,
    bytes: number,
  ): void {
    if (content === undefined) return;
    const message = { prefix, content, transactional };
    this.#host.emit(new CapturedMessage(transaction, ordinal, number, message, bytes + overhead));
  }

  #capture(
    transaction: LedgerTransaction,
    ordinal: number,
    type: UpdateType,
    plan: RelationPlan | undefined,
    row: Tuple,
    old: Tuple | undefined,
    bytes: number,
  ): void {
    if (plan === undefined || plan.watchers[type].length === 0) return;
    const parsed = plan.parsed.length === 0 ? 0 : parsedBytes(plan.parsed, row, old);
    this.#host.emit(new CapturedChange(transaction, ordinal, type, plan, row, old, bytes + parsed + overhead));
  }
}
