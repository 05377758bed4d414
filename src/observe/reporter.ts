import type { Failure } from '../delivery/recipient.ts';
import { thrownText, WatchError } from '../errors.ts';
import { Emitter } from './emitter.ts';
import type { Logger } from '../types/logger.ts';
import { bindLogger } from './logger.ts';
import { ProcessWarnings, type WarningText } from './process-warnings.ts';
import type { SlotWatchEventMap } from '../types/events.ts';

/** Characters kept of an error thrown by a handler. */
const longestReason = 500;

/**
 * Reports what happens to the watch as a log line and as an event. If the application has neither a logger nor a listener
 * for it, it becomes a process warning, unless `logger` is `false`.
 */
export class Reporter {
  /** Identifies this watch in process warnings. */
  readonly name: string;
  readonly log: Logger;
  readonly emitter: Emitter;
  readonly #process: ProcessWarnings | undefined;
  readonly #reported = new Set<string>();
  #activePid: number | undefined;
  /** Failed connection attempts since it last streamed. Starts at 1, so that an outage before the first stream is reported at once. */
  #failures = 1;

  constructor(logger: Logger | false | undefined, bindings: Record<string, unknown>) {
    this.name = Object.values(bindings).join('/');
    this.log = bindLogger(logger || undefined, bindings);
    this.emitter = new Emitter(this.log);
    this.#process = logger === undefined ? new ProcessWarnings(this.name) : undefined;
  }

  /** Whether neither a logger nor a listener would receive this. */
  isUnobserved(...events: readonly (keyof SlotWatchEventMap)[]): boolean {
    return this.#process !== undefined && !events.some((event) => this.emitter.hasListener(event));
  }

  streaming(reconnects: number, confirmedLsn: string | undefined, gap: SlotWatchEventMap['gap'] | undefined): void {
    this.#activePid = undefined;
    this.#failures = 0;
    this.#process?.over('connection', 'lost');
    if (gap) this.gap(gap);
    this.log.info({ reconnects, confirmedLsn }, 'streaming');
    this.emitter.emit('connected', { reconnects });
  }

  gap(gap: SlotWatchEventMap['gap']): void {
    this.log.warn(gap, 'changes were not received');
    this.emitter.emit('gap', gap);
    if (this.isUnobserved('gap')) this.#process!.emit(gapWarning(gap));
  }

  /** Emits one process warning per outage, and only if the first attempt to reconnect fails too. */
  disconnected(error: WatchError, retryIn: number): void {
    this.#activePid = undefined;
    this.log.warn({ err: error, code: error.code, retryIn }, `disconnected: ${error.message}`);
    this.emitter.emit('disconnected', { error, retryIn });
    if (++this.#failures > 1 && this.isUnobserved('disconnected'))
      this.#process!.once('connection', 'lost', notConnected(error));
  }

  standby(slot: string, activePid: number): void {
    if (this.#activePid === activePid) return;
    this.#activePid = activePid;
    this.emitter.emit('standby', { activePid });
    const warning = standingBy(slot, activePid);
    // As a process warning each time, as a warning event once.
    if (this.isUnobserved('standby', 'warning')) this.#process!.emit(warning);
    if (this.#isNew(warning)) this.#warn(warning);
  }

  /** `sql`: shows the event that could not be handled. */
  handlerFailed({ recipient, eventId, attempt, error, action, retryIn }: Failure, sql?: string): void {
    const fields = { subscription: recipient.name, eventId, attempt, action, retryIn, sql };
    const failure = { ...fields, error };
    this.log.warn({ ...fields, err: error }, `handler failed: ${recipient.name}, ${eventId}: ${action}`);
    this.emitter.emit('handlerFailed', failure);
    if (this.isUnobserved('handlerFailed'))
      this.#process!.once('handler', recipient.settings.name ?? recipient, handlerWarning(failure));
  }

  /** Emits a process warning once per kind. */
  warn(warning: WatchError): void {
    this.#warn(warning);
    if (this.isUnobserved('warning')) this.#process!.once('warning', kindOf(warning), warning);
  }

  #warn(warning: WatchError): void {
    this.log.warn({ code: warning.code, solution: warning.solution, help: warning.help }, warning.message);
    this.emitter.emit('warning', warning);
  }

  /** For problems that each connection finds again: reports each one once. */
  warnOnce(warnings: Iterable<WatchError>): void {
    for (const warning of warnings) if (this.#isNew(warning)) this.warn(warning);
  }

  #isNew({ message }: WatchError): boolean {
    return this.#reported.size < this.#reported.add(message).size;
  }

  /** These problems are over: report them again if they come back. */
  over(warnings: Iterable<WatchError>): void {
    for (const warning of warnings) {
      this.#reported.delete(warning.message);
      this.#process?.over('warning', kindOf(warning));
    }
  }

  failed(error: WatchError): void {
    const { code, solution, help } = error;
    this.log.error({ err: error, code, solution, help }, error.message);
    this.emitter.emit('error', error);
  }

  /** The watch has failed, and nothing awaits `closed`. */
  endedUnawaited(error: WatchError): void {
    const { code, message, solution } = error;
    if (this.isUnobserved('error')) this.#process!.emit({ code, message: `the watch has ended: ${message}`, solution });
  }
}

/** Numbers are removed, because sizes and durations grow while the problem stays the same. */
function kindOf({ code, message }: WatchError): string {
  return `${code} ${message.replaceAll(/\d+/g, '#')}`;
}

function standingBy(slot: string, activePid: number): WatchError {
  return new WatchError(
    'SLOT_ACTIVE',
    `server process ${activePid} has the slot '${slot}': this worker waits as its standby`,
    {
      solution: `No action is needed if that is another of your workers. To find out: SELECT * FROM pg_catalog.pg_stat_get_activity(${activePid});`,
    },
  );
}

function notConnected({ code, message, solution = '' }: WatchError): WarningText {
  const again = solution.includes('tries again') ? '' : 'walwatch tries again. ';
  return { code, message: `no connection: ${message}`, solution: `${again}${solution}` };
}

function gapWarning({ from, to, reason }: SlotWatchEventMap['gap']): WarningText {
  return {
    code: 'GAP',
    message: `changes from ${from ?? 'an unknown position'} to ${to || 'an unknown position'} were not received: ${reason}`,
    solution: "Update everything that depends on them; handle this in code with watch.on('gap', …).",
  };
}

function handlerWarning({
  subscription,
  eventId,
  error,
  action,
  sql,
}: SlotWatchEventMap['handlerFailed']): WarningText {
  const follows = {
    retry: 'walwatch retries it, and the slot waits for it.',
    stop: 'The watch ends.',
    skip: 'The event is skipped.',
    deadLetter: 'The event becomes a dead letter.',
  }[action];
  return {
    code: error instanceof WatchError ? error.code : 'HANDLER_FAILED',
    message: `${subscription}: the handler failed for event ${eventId}: ${thrownText(error).slice(0, longestReason)}`,
    solution: sql === undefined ? follows : `${follows} To see it: ${sql}`,
  };
}
