import type { Failure } from '../delivery/recipient.ts';
import { WatchError } from '../errors.ts';
import { Emitter } from './emitter.ts';
import type { Logger } from '../types/logger.ts';
import { bindLogger } from './logger.ts';
import type { SlotWatchEventMap } from '../types/events.ts';

/** Tells what happens to the watch: a line in the log, and an event for those who listen. */
export class Reporter {
  readonly log: Logger;
  readonly emitter: Emitter;
  readonly #told = new Set<string>();
  #activePid: number | undefined;

  constructor(logger: Logger | undefined, bindings: Record<string, unknown>) {
    this.log = bindLogger(logger, bindings);
    this.emitter = new Emitter(this.log);
  }

  streaming(reconnects: number, confirmedLsn: string | undefined, gap: SlotWatchEventMap['gap'] | undefined): void {
    this.#activePid = undefined;
    if (gap) {
      this.log.warn(gap, 'changes were not seen');
      this.emitter.emit('gap', gap);
    }
    this.log.info({ reconnects, confirmedLsn }, 'streaming');
    this.emitter.emit('connected', { reconnects });
  }

  disconnected(error: WatchError, retryIn: number): void {
    this.#activePid = undefined;
    this.log.warn({ err: error, code: error.code, retryIn }, `disconnected: ${error.message}`);
    this.emitter.emit('disconnected', { error, retryIn });
  }

  standby(slot: string, activePid: number): void {
    if (this.#activePid === activePid) return;
    this.#activePid = activePid;
    this.emitter.emit('standby', { activePid });
    this.warnOnce([
      new WatchError(
        'SLOT_ACTIVE',
        `the slot '${slot}' is active for process ${activePid} of the server: this worker waits as its standby`,
        {
          solution: `Nothing, if that is another worker of yours. Else: SELECT * FROM pg_catalog.pg_stat_get_activity(${activePid});`,
        },
      ),
    ]);
  }

  handlerFailed({ recipient, ...failure }: Failure): void {
    const told = { subscription: recipient.name, ...failure };
    const { error, ...fields } = told;
    this.log.warn({ ...fields, err: error }, `handler failed: ${told.subscription}, ${told.eventId}: ${told.action}`);
    this.emitter.emit('handlerFailed', told);
  }

  warn(warning: WatchError): void {
    this.log.warn({ code: warning.code, solution: warning.solution }, warning.message);
    this.emitter.emit('warning', warning);
  }

  /** What is found anew at each connection is told once. */
  warnOnce(warnings: Iterable<WatchError>): void {
    for (const warning of warnings) {
      if (this.#told.has(warning.message)) continue;
      this.#told.add(warning.message);
      this.warn(warning);
    }
  }

  /** What was told once is over. If it comes back, it is told again. */
  over(warnings: Iterable<WatchError>): void {
    for (const { message } of warnings) this.#told.delete(message);
  }

  failed(error: WatchError): void {
    this.log.error({ err: error, code: error.code, solution: error.solution }, error.message);
    this.emitter.emit('error', error);
  }
}
