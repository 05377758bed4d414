import type { WatchError } from '../errors.ts';
import type { SourceListener } from '../changes/stage.ts';
import { Reporter } from '../observe/reporter.ts';
import type { WatchState } from '../types/events.ts';
import { Outcome } from './outcome.ts';

/** The state of a watch. Informs the log, listeners, `start()` and `closed` about changes. */
export class Lifecycle implements SourceListener {
  readonly outcome = new Outcome();
  readonly #reporter: Reporter;
  readonly #slot: string;
  state: WatchState = 'idle';
  /** The last connection error, or the error that ended the watch. */
  error: WatchError | undefined;
  /** Milliseconds since 1970: since when the watch has not been streaming although it should. */
  downSince: number | undefined;
  /** The walsender that has the slot while this watch waits as a standby. */
  activePid: number | undefined;
  /** How many times streaming has begun. */
  connects = 0;

  constructor(reporter: Reporter, slot: string) {
    this.#reporter = reporter;
    this.#slot = slot;
  }

  /** The watch is stopping or failing, or has ended. */
  get over(): boolean {
    return this.state === 'stopping' || this.state === 'stopped' || this.state === 'failed';
  }

  connecting(): void {
    if (!this.over) this.state = 'connecting';
  }

  standby(activePid: number): void {
    if (this.over) return;
    this.state = 'standby';
    this.downSince = undefined;
    this.activePid = activePid;
    this.#reporter.standby(this.#slot, activePid);
  }

  streaming({ confirmedLsn, gap }: Parameters<SourceListener['streaming']>[0]): void {
    if (this.over) return;
    this.state = 'streaming';
    this.downSince = undefined;
    this.error = undefined;
    this.#reporter.streaming(this.connects++, confirmedLsn, gap);
    this.outcome.streaming();
  }

  disconnected(error: WatchError, retryIn: number): void {
    if (this.over) return;
    this.state = 'disconnected';
    this.downSince ??= Date.now();
    this.error = error;
    this.#reporter.disconnected(error, retryIn);
  }

  ending(state: 'stopping' | 'failed'): void {
    this.state = state;
    this.downSince ??= Date.now();
  }

  failing(error: WatchError): void {
    this.error = error;
    this.#reporter.failed(error);
    this.outcome.failing(error);
  }

  /** If nothing awaits the end of the watch, sets the exit code: a process that only runs a watch must not exit with success. */
  failed(error: WatchError): void {
    this.outcome.failed(error);
    if (this.outcome.isAwaited) return;
    this.#reporter.endedUnawaited(error);
    process.exitCode ||= 1;
  }

  stopped(): void {
    this.state = 'stopped';
    this.outcome.stopped();
  }
}
