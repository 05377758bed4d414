import { helpFor, type WatchErrorCode } from '../errors.ts';
import { oneLine } from '../printable.ts';
import { redact } from '../redaction.ts';

/** What a warning of the process tells: a `WatchError`, or as much as one. */
export interface Told {
  readonly code: WatchErrorCode | 'GAP';
  readonly message: string;
  readonly solution: string | undefined;
}

/** Many of one sort leave room for the others. */
type Sort = 'connection' | 'handler' | 'warning';

const type = 'WalwatchWarning';
/** Kinds that are told of each sort: a handler's name may hold an id, and a million of them may fail. */
const most = 100;

/** What would otherwise be silent, because there is neither a logger nor a listener: warnings of the process, each kind once. */
export class ProcessWarnings {
  readonly #name: string;
  readonly #told = new Map<Sort, Set<unknown>>();

  /** `name`: tells this watch from others of the process. */
  constructor(name: string) {
    this.#name = name;
  }

  /** `kind`: what tells it from others of its sort. */
  once(sort: Sort, kind: unknown, told: Told): void {
    let kinds = this.#told.get(sort);
    if (!kinds) this.#told.set(sort, (kinds = new Set()));
    if (kinds.has(kind) || kinds.size >= most) return;
    kinds.add(kind);
    this.tell(told);
  }

  tell(told: Told): void {
    process.emitWarning(lineOf(this.#name, told), { type, code: told.code });
  }

  /** It is over: if it comes back, it is told again. */
  over(sort: Sort, kind: unknown): void {
    this.#told.get(sort)?.delete(kind);
  }
}

/** The same while the process exits, when it is too late for `process.emitWarning`, which waits for the next tick. */
export function warnAtExit(names: string, told: Told): void {
  const warning = new Error(lineOf(names, told));
  process.emit('warning', Object.assign(warning, { name: type, code: told.code }));
}

/** One line: what happened, what to do, where to read more. */
function lineOf(name: string, { code, message, solution }: Told): string {
  // The message of a ConfigurationError has its solutions.
  const text = solution === undefined || message.includes(solution) ? message : `${message}. ${solution}`;
  const lines = redact(`${name}: ${text}\nSee ${helpFor(code)}`).split(/\s*\n\s*/);
  return oneLine(lines.reduce((joined, next) => `${joined}${/[.:;,]$/.test(joined) ? '' : '.'} ${next}`));
}
