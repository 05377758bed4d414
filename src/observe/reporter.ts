import type { Failure } from '../delivery/recipient.ts';
import { thrownText, WatchError } from '../errors.ts';
import { Emitter } from './emitter.ts';
import type { Logger } from '../types/logger.ts';
import { bindLogger } from './logger.ts';
import { ProcessWarnings, type Told } from './process-warnings.ts';
import type { SlotWatchEventMap } from '../types/events.ts';

/** Characters of what a handler threw. */
const longestReason = 500;

/**
 * Tells what happens to the watch: a line in the log, and an event for those who listen. What nobody would hear is a warning of
 * the process, unless `logger` is `false`.
 */
export class Reporter {
  /** Tells this watch from others. */
  readonly name: string;
  readonly log: Logger;
  readonly emitter: Emitter;
  readonly #process: ProcessWarnings | undefined;
  readonly #told = new Set<string>();
  #activePid: number | undefined;
  /** Failed attempts to connect since it streamed. The first loss after that is mostly over with the next attempt. */
  #failures = 1;

  constructor(logger: Logger | false | undefined, bindings: Record<string, unknown>) {
    this.name = Object.values(bindings).join('/');
    this.log = bindLogger(logger || undefined, bindings);
    this.emitter = new Emitter(this.log);
    this.#process = logger === undefined ? new ProcessWarnings(this.name) : undefined;
  }

  /** Neither a logger nor a listener hears of it. */
  unheard(...events: readonly (keyof SlotWatchEventMap)[]): boolean {
    return this.#process !== undefined && !events.some((event) => this.emitter.heard(event));
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
    this.log.warn(gap, 'changes were not seen');
    this.emitter.emit('gap', gap);
    if (this.unheard('gap')) this.#process!.tell(gapTold(gap));
  }

  /** To the process once for each outage, unless the next attempt ends it. */
  disconnected(error: WatchError, retryIn: number): void {
    this.#activePid = undefined;
    this.log.warn({ err: error, code: error.code, retryIn }, `disconnected: ${error.message}`);
    this.emitter.emit('disconnected', { error, retryIn });
    if (++this.#failures > 1 && this.unheard('disconnected'))
      this.#process!.once('connection', 'lost', notConnected(error));
  }

  standby(slot: string, activePid: number): void {
    if (this.#activePid === activePid) return;
    this.#activePid = activePid;
    this.emitter.emit('standby', { activePid });
    const warning = standingBy(slot, activePid);
    // Told above, or here each time; as a warning once.
    if (this.unheard('standby', 'warning')) this.#process!.tell(warning);
    if (this.#isNew(warning)) this.#warn(warning);
  }

  /** `sql`: shows what could not be handled. */
  handlerFailed({ recipient, eventId, attempt, error, action, retryIn }: Failure, sql?: string): void {
    const fields = { subscription: recipient.name, eventId, attempt, action, retryIn, sql };
    const told = { ...fields, error };
    this.log.warn({ ...fields, err: error }, `handler failed: ${recipient.name}, ${eventId}: ${action}`);
    this.emitter.emit('handlerFailed', told);
    if (this.unheard('handlerFailed'))
      this.#process!.once('handler', recipient.settings.name ?? recipient, handlerTold(told));
  }

  /** To the process once for each kind. */
  warn(warning: WatchError): void {
    this.#warn(warning);
    if (this.unheard('warning')) this.#process!.once('warning', kindOf(warning), warning);
  }

  #warn(warning: WatchError): void {
    this.log.warn({ code: warning.code, solution: warning.solution, help: warning.help }, warning.message);
    this.emitter.emit('warning', warning);
  }

  /** What is found anew at each connection is told once. */
  warnOnce(warnings: Iterable<WatchError>): void {
    for (const warning of warnings) if (this.#isNew(warning)) this.warn(warning);
  }

  #isNew({ message }: WatchError): boolean {
    return this.#told.size < this.#told.add(message).size;
  }

  /** What was told once is over. If it comes back, it is told again. */
  over(warnings: Iterable<WatchError>): void {
    for (const warning of warnings) {
      this.#told.delete(warning.message);
      this.#process?.over('warning', kindOf(warning));
    }
  }

  failed(error: WatchError): void {
    const { code, solution, help } = error;
    this.log.error({ err: error, code, solution, help }, error.message);
    this.emitter.emit('error', error);
  }

  /** The watch has ended, and nobody waits to hear how. */
  endedUnawaited(error: WatchError): void {
    const { code, message, solution } = error;
    if (this.unheard('error')) this.#process!.tell({ code, message: `the watch has ended: ${message}`, solution });
  }
}

/** Sizes and durations grow while it is still the same. */
function kindOf({ code, message }: WatchError): string {
  return `${code} ${message.replaceAll(/\d+/g, '#')}`;
}

function standingBy(slot: string, activePid: number): WatchError {
  return new WatchError(
    'SLOT_ACTIVE',
    `the slot '${slot}' is active for process ${activePid} of the server: this worker waits as its standby`,
    {
      solution: `Nothing, if that is another worker of yours. Else: SELECT * FROM pg_catalog.pg_stat_get_activity(${activePid});`,
    },
  );
}

function notConnected({ code, message, solution = '' }: WatchError): Told {
  const again = solution.includes('tries again') ? '' : 'walwatch tries again. ';
  return { code, message: `no connection: ${message}`, solution: `${again}${solution}` };
}

function gapTold({ from, to, reason }: SlotWatchEventMap['gap']): Told {
  return {
    code: 'GAP',
    message: `changes from ${from ?? 'an unknown position'} to ${to || 'an unknown one'} were not seen: ${reason}`,
    solution: "Bring what depends on them up to date, in code: watch.on('gap', …).",
  };
}

function handlerTold({ subscription, eventId, error, action, sql }: SlotWatchEventMap['handlerFailed']): Told {
  const follows = {
    retry: 'It is tried again, and the slot waits for it.',
    stop: 'The watch ends.',
    skip: 'The event is skipped.',
    deadLetter: 'The event becomes a dead letter.',
  }[action];
  return {
    code: error instanceof WatchError ? error.code : 'HANDLER_FAILED',
    message: `${subscription}: the handler failed at event ${eventId}: ${thrownText(error).slice(0, longestReason)}`,
    solution: sql === undefined ? follows : `${follows} Look at it: ${sql}`,
  };
}
