import { offAbort, onAbort } from '../abort-signal.ts';
import { CapturedCommit } from '../changes/commit.ts';
import type { LedgerTransaction } from '../changes/ledger.ts';
import { Queue } from '../changes/queue.ts';
import type { CapturedItem, ChangeSource, SourceListener, Stage } from '../changes/stage.ts';
import type { Failure } from '../delivery/recipient.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { Sending, type TestLedger } from './sending.ts';

/** Where the first transaction commits, and the distance to the next: positions look like those of a server. */
const firstLsn: Lsn = 0x16_b374_d848n;
const distance = 0x1b0n;
/** Bytes of a commit record. */
const commitRecord = 0x30n;
const firstXid = 7001;

/** A part of a transaction. */
export interface Part {
  /** Makes what the router gets. `number`: how many parts are before it. */
  capture(transaction: LedgerTransaction, number: number): CapturedItem;
}

/** A row that was in its table before. It belongs to no transaction. */
export interface RowPart {
  /** Passes it to the subscriptions. Calls `begin` with a new transaction for each of them. */
  give(begin: (transaction: LedgerTransaction) => void): void;
}

export interface TestSourceHost {
  readonly ledger: TestLedger;
  /** The next stage on the way to the handlers. */
  readonly next: Stage;
  /** Whether a subscription needs to know where transactions end. */
  wantsCommits(): boolean;
  /** Sends incomplete batches. */
  sendBatches(): void;
  readonly streaming: SourceListener['streaming'];
  /** The handlers of a delivery are done. */
  handled(): void;
}

/** The source of a test watch: the changes that the test delivers. */
export class TestSource implements ChangeSource {
  readonly #host: TestSourceHost;
  readonly #sendings = new Map<LedgerTransaction, Sending>();
  /** Calls of `send` that are not done. */
  readonly #unfinished = new Set<Promise<void>>();
  /** Deliveries that wait for the current one to be routed: a handler may deliver something itself. */
  readonly #waiting = new Queue<() => void>();
  #isPassing = false;
  #sent = 0;
  #stop: (() => void) | undefined;
  #over: { readonly reason: unknown } | undefined;
  readonly prepared = undefined;

  constructor(host: TestSourceHost) {
    this.#host = host;
  }

  /** The end of the last transaction. */
  get received(): string | undefined {
    return this.#sent === 0 ? undefined : formatLsn(this.#lastLsn + commitRecord);
  }

  async run(): Promise<void> {
    this.#host.streaming({});
    await new Promise<void>((resolve) => (this.#stop = resolve));
  }

  pause(): void {}

  resume(): void {}

  end(): void {
    this.#stop?.();
  }

  async close(): Promise<void> {}

  /** Passes on a transaction, `times` times. Each time begins when the handlers of the one before are done. */
  async send(parts: readonly (Part | RowPart)[], times: number): Promise<void> {
    this.#sent++;
    const begin = { xid: firstXid + this.#sent, finalLsn: this.#lastLsn, committedAt: Date.now() };
    const sent = this.#repeat(times, (sending) => this.#pass(parts, begin, sending));
    const settled: Promise<void> = sent.catch(() => {}).finally(() => this.#unfinished.delete(settled));
    this.#unfinished.add(settled);
    await sent;
  }

  /** This was the last attempt. */
  failed({ deliverable, error, action }: Failure): void {
    for (const { change } of deliverable!.parts ?? [deliverable!]) {
      const sending = this.#sendings.get(change.transaction);
      sending?.failed(error, action === 'retry');
      this.settled(change.transaction);
    }
  }

  /** Something of a transaction was handled. */
  settled(transaction: LedgerTransaction): void {
    const sending = this.#sendings.get(transaction);
    if (sending?.isOver && !this.#isPassing) this.#end(sending);
  }

  /** Resolves when everything that was delivered before is handled. */
  async wait(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const abort = () => reject(signal!.reason);
      if (signal) onAbort(signal, abort);
      void Promise.all(this.#unfinished).then(() => {
        if (signal) offAbort(signal, abort);
        resolve();
      });
    });
    if (this.#over) throw this.#over.reason;
  }

  /** The watch has ended. */
  over(reason: unknown): void {
    this.#over = { reason };
    for (const sending of new Set(this.#sendings.values())) this.#end(sending, reason);
  }

  get #lastLsn(): Lsn {
    return firstLsn + BigInt(this.#sent) * distance;
  }

  async #repeat(times: number, pass: (sending: Sending) => void): Promise<void> {
    for (let time = 0; time < times; time++) {
      const sending = new Sending();
      this.#inTurn(() => pass(sending));
      await sending.done;
    }
  }

  #inTurn(pass: () => void): void {
    this.#waiting.push(pass);
    if (this.#isPassing) return;
    this.#isPassing = true;
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) next();
    this.#isPassing = false;
    this.#host.sendBatches();
    for (const sending of new Set(this.#sendings.values())) if (sending.isOver) this.#end(sending);
  }

  #pass(
    parts: readonly (Part | RowPart)[],
    begin: { readonly xid: number; readonly finalLsn: Lsn; readonly committedAt: number },
    sending: Sending,
  ): void {
    if (this.#over) {
      sending.end(this.#over.reason);
      return;
    }
    const { ledger, next } = this.#host;
    const track = (transaction: LedgerTransaction) => {
      sending.transactions.push(transaction);
      this.#sendings.set(transaction, sending);
    };
    const transaction = ledger.begin(begin);
    track(transaction);
    try {
      let number = 0;
      for (const part of parts) {
        if ('give' in part) part.give(track);
        else next.push(part.capture(transaction, number++));
      }
      if (this.#host.wantsCommits()) next.push(new CapturedCommit(transaction));
    } catch (error) {
      sending.failed(error, true);
    }
    ledger.commit(transaction, begin.finalLsn + commitRecord);
  }

  #end(sending: Sending, reason?: unknown): void {
    for (const transaction of sending.transactions) this.#sendings.delete(transaction);
    sending.end(reason);
    this.#host.handled();
  }
}
