import { WatchError } from '../errors.ts';
import { warnAtExit } from '../observe/process-warnings.ts';
import type { Reporter } from '../observe/reporter.ts';

/** The reporters of watches that are not started yet: a forgotten `start()` would cause neither events nor an error. */
const unstarted = new Set<Reporter>();
/** The number of watches named in the warning at exit. */
const named = 5;

/** Expects the watch to be started before it is stopped and before the process exits. One exit listener serves all watches. */
export function expectStart(reporter: Reporter): void {
  if (unstarted.size === 0) process.on('exit', warnUnstarted);
  unstarted.add(reporter);
}

/** The watch was started, or is useful without `start()`. Returns whether a start was still expected. */
export function expectNoStart(reporter: Reporter): boolean {
  const expected = unstarted.delete(reporter);
  if (unstarted.size === 0) process.off('exit', warnUnstarted);
  return expected;
}

export function neverStarted(): WatchError {
  return new WatchError('NOT_STARTED', 'the watch was never started, so its handlers received no events', {
    solution: 'Call start().',
  });
}

/** Skipped if the process fails, because its own error matters more. */
function warnUnstarted(code: number): void {
  if (code !== 0) return;
  const warning = neverStarted();
  const silent = [...unstarted].filter((reporter) => reporter.isUnobserved('warning'));
  for (const reporter of unstarted) if (!silent.includes(reporter)) reporter.warn(warning);
  if (silent.length === 0) return;
  const names = silent.slice(0, named).map(({ name }) => name);
  const more = silent.length > named ? ` and ${silent.length - named} more` : '';
  warnAtExit(names.join(', ') + more, warning);
}
