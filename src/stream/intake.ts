import { isAnnotation, noAnnotations, ReceivedAnnotations } from '../changes/annotations.ts';
import { CapturedChange } from '../changes/change.ts';
import { CapturedCommit } from '../changes/commit.ts';
import type { Ledger, LedgerTransaction } from '../changes/ledger.ts';
import { WatchError } from '../errors.ts';
import { CapturedMessage } from '../changes/message.ts';
import type { Begin, Commit, LogicalMessage, Relation, RowChange, Tuple } from '../postgres/pgoutput/messages.ts';
import { growth, parsedBytes } from '../watchers/parsed.ts';
import type { RelationPlan } from '../watchers/plan.ts';
import { annotationsPrefix, outboxPrefix } from '../postgres/logical-messages.ts';
import type { ReceivingTransaction } from '../types/events.ts';
import type { UpdateType } from '../types/watchers.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { RecentTransactions, Rewound } from './recent-transactions.ts';

/** Estimated bytes of memory for a held change in addition to its values: row, event, context and queue entries. */
const overhead = 512;
const empty: Tuple = Object.freeze([]);
const updateTypes = { insert: 'inserted', update: 'updated', delete: 'deleted' } as const;

export interface IntakeHost {
  emit(captured: CapturedChange | CapturedMessage | CapturedCommit): void;
  /** Whether a subscription needs to know where transactions end. */
  readonly wantsCommits: boolean;
  /** Whether a subscription wants messages with this prefix. */
  wantsMessages(prefix: string): boolean;
  /** An annotation has to be ignored. `xid`: undefined outside of transactions. */
  refusedAnnotation(xid: number | undefined, reason: string): void;
}

/**
 * Numbers the changes of each transaction, adds transactions to the ledger, and skips those received before: after a
 * reconnect the server starts at the confirmed position, and so repeats events that are still being handled.
 */
export class Intake {
  readonly #ledger: Ledger;
  readonly #host: IntakeHost;
  /** The newest transaction, and how many of its changes and messages were received. */
  #newest: LedgerTransaction | undefined;
  #receivedChanges = 0;
  #receivedMessages = 0;
  /** The transaction being received; undefined while a completely received one is repeated. */
  #current: LedgerTransaction | undefined;
  #inside = false;
  #xid = 0;
  #committedAt = 0;
  /** Changes, messages and bytes of the current transaction received on this connection. */
  #ordinal = 0;
  #messages = 0;
  #bytes = 0;
  /** An annotation of this transaction was refused. Reported once. */
  #refused = false;
  readonly #annotations = new ReceivedAnnotations();
  #reached: Lsn = 0n;
  readonly #recent = new RecentTransactions();
  /** The connection is repeating what an earlier one received, and has not reached the end of that. */
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

  /** The newest transaction that has begun. */
  get newest(): LedgerTransaction | undefined {
    return this.#newest;
  }

  /** Every transaction that committed before this position has been received. */
  get reached(): Lsn {
    return this.#reached;
  }

  /** The xid of the transaction being received, even if it is skipped. */
  get xid(): number {
    return this.#xid;
  }

  /** The transaction being received, even if it is skipped. */
  get receiving(): ReceivingTransaction | undefined {
    if (!this.#inside) return undefined;
    return {
      xid: this.#xid,
      committedAt: new Date(this.#committedAt),
      changes: this.#ordinal,
      bytes: this.#bytes,
    };
  }

  /** `bytes` more bytes have arrived. */
  received(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Whether the content of a logical message is needed. `bytes`: its size. */
  wantsMessage(prefix: string, bytes: number): boolean {
    return isAnnotation(prefix, bytes) || this.#host.wantsMessages(prefix);
  }

  /** A new connection. `continues`: the server's history is the one received so far. */
  connect(continues: boolean): void {
    this.#current = undefined;
    this.#inside = false;
    this.#repeating = continues && this.#newest !== undefined;
    this.#annotations.clear();
    if (continues) return;
    this.#recent.clear();
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
    this.#annotations.clear();
    this.#refused = false;
    if (newest !== undefined && begin.finalLsn <= newest.finalLsn) {
      if (!this.#recent.agrees(begin)) throw new Rewound(begin.finalLsn);
      if (begin.finalLsn === newest.finalLsn) this.#repeating = false;
      // Received before: skip it if it was received completely, otherwise continue where it broke off.
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
    if (transaction === undefined || ordinal < this.#receivedChanges) return; // received on an earlier connection
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
    // Also in a transaction that is repeated after a reconnect: changes that follow are new.
    if (message.prefix === annotationsPrefix) this.#annotate(message);
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
    this.#inside = this.#refused = false;
    const transaction = this.#current;
    this.#current = undefined;
    if (transaction === undefined) return;
    if (this.#host.wantsCommits) this.#host.emit(new CapturedCommit(transaction, overhead));
    this.#ledger.commit(transaction, commit.endLsn);
    this.#reached = commit.endLsn;
  }

  /** A keepalive outside transactions: up to this position there is nothing for us. */
  idle(lsn: Lsn): void {
    const end = this.#newest?.endLsn;
    if (this.#repeating && end !== undefined && lsn >= end) this.#repeating = false;
    this.#ledger.idle(lsn);
    if (!this.#repeating && lsn > this.#reached) this.#reached = lsn;
  }

  /** A transaction received in part must be repeated before anything that follows it. */
  #refuseJump(next: Lsn): void {
    const newest = this.#newest;
    if (newest !== undefined && newest.endLsn === undefined) {
      throw new WatchError(
        'SLOT_MOVED',
        `the transaction at ${newest.commitLsn} was received only in part, but the server continues at ${formatLsn(next)} without repeating it`,
        {
          solution:
            'Another program advanced or re-created the slot, so changes may be missing. Update everything that depends on them, then start the watch again.',
        },
      );
    }
  }

  #annotate({ transactional, content }: LogicalMessage): void {
    const refused = transactional ? this.#annotations.merge(content) : 'it was not written as a transactional message';
    if (refused === undefined || this.#refused) return;
    this.#refused = true;
    this.#host.refusedAnnotation(this.#inside ? this.#xid : undefined, refused);
  }

  /** A message outside transactions counts as a transaction of one record, whose end is its LSN. */
  #outside(message: LogicalMessage, bytes: number): void {
    const newest = this.#newest;
    const finalLsn = message.lsn - 1n; // a position inside the record: the next record may begin at its end
    if (newest !== undefined && finalLsn <= newest.finalLsn) return;
    this.#refuseJump(message.lsn);
    const transaction = this.#ledger.begin({ xid: 0, finalLsn, committedAt: Date.now() }, message.lsn);
    this.#newest = transaction;
    this.#emit(transaction, 0, 0, message, bytes);
    this.#ledger.commit(transaction, message.lsn);
  }

  /** Skips a message whose prefix has no subscription. */
  #emit(
    transaction: LedgerTransaction,
    ordinal: number,
    number: number,
    { prefix, content, transactional }: LogicalMessage,
    bytes: number,
  ): void {
    if (content === undefined || !this.#host.wantsMessages(prefix)) return;
    const message = { prefix, content, transactional };
    const annotations = transactional ? this.#annotations.current : noAnnotations;
    const parsed = prefix.startsWith(outboxPrefix) ? bytes * growth : 0;
    const size = bytes + parsed + overhead + this.#annotations.takeBytes();
    this.#host.emit(new CapturedMessage(transaction, ordinal, number, message, size, annotations));
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
    const size = bytes + parsed + overhead + this.#annotations.takeBytes();
    const { current } = this.#annotations;
    this.#host.emit(new CapturedChange(transaction, ordinal, type, plan, row, old, size, current));
  }
}
