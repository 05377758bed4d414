import { offAbort, onAbort } from '../abort-signal.ts';
import type { Ledger } from '../changes/ledger.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { nextPause } from './snapshot.ts';

/** The part of a streaming connection that `CaughtUp` uses. */
export interface CaughtUpStream {
  /** Where the server's WAL ends now. */
  readEnd(): Promise<Lsn>;
  /** Asks the walsender for its current position; it answers with a keepalive. */
  ask(): void;
  /** The end of WAL could not be read, so the connection must end. */
  failed(error: unknown): void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** Waiters that share one target position, read with a single query. */
interface WaiterGroup {
  readonly waiters: Set<Waiter>;
  /** Undefined until the server has returned its end of WAL. */
  target: Lsn | undefined;
}

/**
 * Implements waiting until every change committed so far is handled. It reads the server's end of WAL once and then waits
 * until the ledger has handled everything up to it. An idle walsender reports its position only rarely, so it is asked.
 */
export class CaughtUp {
  readonly #ledger: Pick<Ledger, 'handled' | 'settled'>;
  readonly #groups = new Set<WaiterGroup>();
  /** The group whose target has not been requested yet; new waiters join it. */
  #next: WaiterGroup | undefined;
  #stream: CaughtUpStream | undefined;
  #reading = false;
  /** A request was sent to the walsender and has not been answered. */
  #asked = false;
  #pause = 0;
  #timer: NodeJS.Timeout | undefined;
  #over: { readonly reason: unknown } | undefined;

  constructor(ledger: Pick<Ledger, 'handled' | 'settled'>) {
    this.#ledger = ledger;
  }

  wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#over || signal?.aborted) {
        reject(signal?.aborted ? signal.reason : this.#over?.reason);
        return;
      }
      const group = this.#join();
      const forget = () => {
        if (signal) offAbort(signal, abort);
        this.#leave(group, waiter);
      };
      const waiter: Waiter = {
        resolve: () => {
          forget();
          resolve();
        },
        reject: (reason) => {
          forget();
          reject(reason);
        },
      };
      const abort = () => waiter.reject(signal?.reason);
      if (signal) onAbort(signal, abort);
      group.waiters.add(waiter);
      this.#read();
    });
  }

  /** Called for each connection. `continues`: the server's history is unchanged, so known targets stay valid. */
  connect(stream: CaughtUpStream, continues: boolean): void {
    this.disconnect();
    this.#stream = stream;
    if (!continues) for (const group of this.#groups) group.target = undefined;
    this.#read();
    this.check();
  }

  disconnect(): void {
    this.#rest();
    this.#stream = undefined;
    this.#reading = false;
  }

  /** The watch has ended: rejects everyone who still waits. */
  end(reason: unknown): void {
    this.#over = { reason };
    this.disconnect();
    for (const { waiters } of this.#groups) for (const waiter of waiters) waiter.reject(reason);
  }

  /** The walsender has reported its position. */
  answered(): void {
    this.#asked = false;
    this.check();
  }

  /** The ledger has handled more than before. */
  check(): void {
    if (this.#groups.size === 0) return;
    const { handled } = this.#ledger;
    let waiting = false;
    for (const { target, waiters } of this.#groups) {
      if (target === undefined) continue;
      if (handled !== undefined && handled >= target) for (const waiter of waiters) waiter.resolve();
      else waiting = true;
    }
    // While handlers still run, the walsender's position does not matter.
    if (waiting && this.#ledger.settled) this.#ask();
  }

  #join(): WaiterGroup {
    if (!this.#next) this.#groups.add((this.#next = { waiters: new Set(), target: undefined }));
    return this.#next;
  }

  #leave(group: WaiterGroup, waiter: Waiter): void {
    group.waiters.delete(waiter);
    if (group.waiters.size > 0) return;
    this.#groups.delete(group);
    if (this.#next === group) this.#next = undefined;
    if (this.#groups.size === 0) this.#rest();
  }

  /** Sends one query at a time. Its answer counts only for waiters that joined before it was sent. */
  #read(): void {
    const stream = this.#stream;
    if (!stream || this.#reading) return;
    const asking = [...this.#groups].filter(({ target }) => target === undefined);
    if (asking.length === 0) return;
    this.#reading = true;
    this.#next = undefined;
    stream.readEnd().then(
      (end) => {
        if (stream !== this.#stream) return;
        this.#reading = false;
        for (const group of asking) group.target = end;
        this.check();
        this.#read();
      },
      (error: unknown) => {
        if (stream === this.#stream) stream.failed(error);
      },
    );
  }

  /** Asks at once the first time, then at growing intervals while the walsender has not reached the target. */
  #ask(): void {
    if (this.#asked || this.#timer !== undefined || !this.#stream) return;
    const ask = () => {
      this.#timer = undefined;
      this.#asked = true;
      this.#stream?.ask();
    };
    if (this.#pause === 0) ask();
    else this.#timer = setTimeout(ask, this.#pause);
    this.#pause = nextPause(this.#pause);
  }

  #rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asked = false;
    this.#pause = 0;
  }
}
