import type { WatchErrorCode } from '../errors.ts';
import { oneLine } from '../printable.ts';
import { redact } from '../redaction.ts';

/** What a warning of the process tells: a `WatchError`, or as much as one. */
export interface Told {
  readonly code: WatchErrorCode | 'GAP';
  readonly message: string;
  readonly solution: string | undefined;
}

const type = 'WalwatchWarning';
/** A handler's name may hold an id, and a million of them may fail. */
const most = 100;

/** What would otherwise be silent, because there is neither a logger nor a listener: warnings of the process, each kind once. */
export class ProcessWarnings {
  readonly #name: string;
  readonly #told = new Set<string>();

  /** `name`: tells this watch from others of the process. */
  constructor(name: string) {
    this.#name = name;
  }

  once(kind: string, told: Told): void {
    if (this.#told.has(kind) || this.#told.size >= most) return;
    this.#told.add(kind);
    this.tell(told);
  }

  tell(told: Told): void {
    process.emitWarning(lineOf(this.#name, told), { type, code: told.code });
  }

  /** It is over: if it comes back, it is told again. */
  over(kind: string): void {
    this.#told.delete(kind);
  }
}

/** The same while the process exits, when it is too late for `process.emitWarning`, which waits for the next tick. */
export function warnAtExit(names: string, told: Told): void {
  const warning = new Error(lineOf(names, told));
  process.emit('warning', Object.assign(warning, { name: type, code: told.code }));
}

/** One line with what to do. */
function lineOf(name: string, { message, solution }: Told): string {
  // The message of a ConfigurationError has its solutions.
  const text = solution === undefined || message.includes(solution) ? message : `${message}. ${solution}`;
  const lines = redact(`${name}: ${text}`).split(/\s*\n\s*/);
  return oneLine(lines.reduce((joined, next) => `${joined}${/[.:;,]$/.test(joined) ? '' : '.'} ${next}`));
}
