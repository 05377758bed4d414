import { offAbort, onAbort } from '../abort-signal.ts';
import type { Ledger } from '../changes/ledger.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { nextPause } from './snapshot.ts';

/** What is needed of a connection that streams. */
export interface CaughtUpStream {
  /** Where the server's WAL ends now. */
  readEnd(): Promise<Lsn>;
  /** Asks the walsender how far it is: a keepalive answers. */
  ask(): void;
  /** The end could not be read: the connection must end. */
  failed(error: unknown): void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** Those whom one answer of the server is for: they wait for the same position. */
interface Party {
  readonly waiters: Set<Waiter>;
  /** Undefined until the server has said where its WAL ends. */
  target: Lsn | undefined;
}

/**
 * Who waits until all that was committed before is handled. The server tells where its WAL ends; then it is a matter of
 * the ledger. An idle walsender is asked how far it is, because it says so by itself only now and then.
 */
export class CaughtUp {
  readonly #ledger: Pick<Ledger, 'handled' | 'settled'>;
  readonly #parties = new Set<Party>();
  /** The one that the server has not been asked for yet: whoever comes now joins it. */
  #next: Party | undefined;
  #stream: CaughtUpStream | undefined;
  #reading = false;
  /** The walsender was asked and has not said anything since. */
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
      const party = this.#join();
      const forget = () => {
        if (signal) offAbort(signal, abort);
        this.#leave(party, waiter);
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
      party.waiters.add(waiter);
      this.#read();
    });
  }

  /** At each connection. `continues`: it goes on in the history that was received so far; else positions say nothing. */
  connect(stream: CaughtUpStream, continues: boolean): void {
    this.disconnect();
    this.#stream = stream;
    if (!continues) for (const party of this.#parties) party.target = undefined;
    this.#read();
    this.check();
  }

  disconnect(): void {
    this.#rest();
    this.#stream = undefined;
    this.#reading = false;
  }

  /** The watch has ended: nobody is waited for any more. */
  end(reason: unknown): void {
    this.#over = { reason };
    this.disconnect();
    for (const { waiters } of this.#parties) for (const waiter of waiters) waiter.reject(reason);
  }

  /** The walsender has said how far it is. */
  answered(): void {
    this.#asked = false;
    this.check();
  }

  /** More is handled than before. */
  check(): void {
    if (this.#parties.size === 0) return;
    const { handled } = this.#ledger;
    let waiting = false;
    for (const { target, waiters } of this.#parties) {
      if (target === undefined) continue;
      if (handled !== undefined && handled >= target) for (const waiter of waiters) waiter.resolve();
      else waiting = true;
    }
    // While handlers are waited for, where the walsender is makes no difference.
    if (waiting && this.#ledger.settled) this.#ask();
  }

  #join(): Party {
    if (!this.#next) this.#parties.add((this.#next = { waiters: new Set(), target: undefined }));
    return this.#next;
  }

  #leave(party: Party, waiter: Waiter): void {
    party.waiters.delete(waiter);
    if (party.waiters.size > 0) return;
    this.#parties.delete(party);
    if (this.#next === party) this.#next = undefined;
    if (this.#parties.size === 0) this.#rest();
  }

  /** One question at a time; its answer is for those who waited before it was asked. */
  #read(): void {
    const stream = this.#stream;
    if (!stream || this.#reading) return;
    const asking = [...this.#parties].filter(({ target }) => target === undefined);
    if (asking.length === 0) return;
    this.#reading = true;
    this.#next = undefined;
    stream.readEnd().then(
      (end) => {
        if (stream !== this.#stream) return;
        this.#reading = false;
        for (const party of asking) party.target = end;
        this.check();
        this.#read();
      },
      (error: unknown) => {
        if (stream === this.#stream) stream.failed(error);
      },
    );
  }

  /** At once the first time; a walsender that is still on its way is asked less and less often. */
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
