import { WatchError } from '../errors.ts';
import { warnAtExit } from '../observe/process-warnings.ts';
import type { Reporter } from '../observe/reporter.ts';

/** Those of watches that were made and not started yet. Who forgets `start()` hears nothing, and no error either. */
const unstarted = new Set<Reporter>();
/** So many watches are named at the exit. */
const named = 5;

/** The watch is to be started before it is stopped, and before the process exits. One listener for all of them. */
export function expectStart(reporter: Reporter): void {
  if (unstarted.size === 0) process.on('exit', tellAtExit);
  unstarted.add(reporter);
}

/** It was started, or is of use without. Returns whether that was still expected. */
export function expectNoStart(reporter: Reporter): boolean {
  const expected = unstarted.delete(reporter);
  if (unstarted.size === 0) process.off('exit', tellAtExit);
  return expected;
}

export function neverStarted(): WatchError {
  return new WatchError('NOT_STARTED', 'the watch was never started: its handlers have heard nothing', {
    solution: 'Call start().',
  });
}

/** A process that fails has something else to say. */
function tellAtExit(code: number): void {
  if (code !== 0) return;
  const warning = neverStarted();
  const silent = [...unstarted].filter((reporter) => reporter.unheard('warning'));
  for (const reporter of unstarted) if (!silent.includes(reporter)) reporter.warn(warning);
  if (silent.length === 0) return;
  const names = silent.slice(0, named).map(({ name }) => name);
  const more = silent.length > named ? ` and ${silent.length - named} more` : '';
  warnAtExit(names.join(', ') + more, warning);
}
