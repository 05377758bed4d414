import { helpFor, type WatchErrorCode } from '../errors.ts';
import { oneLine } from '../printable.ts';
import { redact } from '../redaction.ts';

/** The content of a process warning: a `WatchError`, or the same fields. */
export interface WarningText {
  readonly code: WatchErrorCode | 'GAP';
  readonly message: string;
  readonly solution: string | undefined;
}

/** Each sort has its own limit, so that many warnings of one sort do not suppress the others. */
type Sort = 'connection' | 'handler' | 'warning';

const type = 'WalwatchWarning';
/** Warnings per sort: subscription names may contain ids, and a million subscriptions may fail. */
const most = 100;

/** Emits process warnings for problems that neither a logger nor a listener receives. Each kind is reported once. */
export class ProcessWarnings {
  readonly #name: string;
  readonly #emitted = new Map<Sort, Set<unknown>>();

  /** `name`: identifies this watch in the process. */
  constructor(name: string) {
    this.#name = name;
  }

  /** `kind`: identifies the warning among those of its sort. */
  once(sort: Sort, kind: unknown, warning: WarningText): void {
    let kinds = this.#emitted.get(sort);
    if (!kinds) this.#emitted.set(sort, (kinds = new Set()));
    if (kinds.has(kind) || kinds.size >= most) return;
    kinds.add(kind);
    this.emit(warning);
  }

  emit(warning: WarningText): void {
    process.emitWarning(lineOf(this.#name, warning), { type, code: warning.code });
  }

  /** The problem is over: report it again if it comes back. */
  over(sort: Sort, kind: unknown): void {
    this.#emitted.get(sort)?.delete(kind);
  }
}

/** Used while the process exits: `process.emitWarning` waits for the next tick, which does not come. */
export function warnAtExit(names: string, warning: WarningText): void {
  const error = new Error(lineOf(names, warning));
  process.emit('warning', Object.assign(error, { name: type, code: warning.code }));
}

/** One line: what happened, what to do, where to read more. */
function lineOf(name: string, { code, message, solution }: WarningText): string {
  // The message of a ConfigurationError already contains its solutions.
  const text = solution === undefined || message.includes(solution) ? message : `${message}. ${solution}`;
  const lines = redact(`${name}: ${text}\nSee ${helpFor(code)}`).split(/\s*\n\s*/);
  return oneLine(lines.reduce((joined, next) => `${joined}${/[.:;,]$/.test(joined) ? '' : '.'} ${next}`));
}
