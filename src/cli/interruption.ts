import { closedPipe } from './output.ts';

/** Milliseconds in which a second signal counts as the same Ctrl-C: the terminal signals all processes, and npx forwards its signal. */
const echo = 500;

/**
 * Calls `first` at the first SIGINT or SIGTERM. A later signal, unless it is an echo of the first, ends the process at once. After
 * a signal, disposing does not remove the listeners: the process is ending, and an echo must not interrupt that.
 */
export function onSignal(first: () => void): Disposable {
  let since: number | undefined;
  const heard = (_: NodeJS.Signals, number: number) => {
    if (since === undefined) {
      since = performance.now();
      first();
    } else if (performance.now() - since > echo) process.exit(128 + number);
  };
  process.on('SIGINT', heard).on('SIGTERM', heard);
  return {
    [Symbol.dispose]() {
      if (since === undefined) process.off('SIGINT', heard).off('SIGTERM', heard);
    },
  };
}

/** Aborts at Ctrl-C, at SIGTERM, and when the reader of the output has closed the pipe. */
export function interruption(): { readonly signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const signals = onSignal(abort);
  if (closedPipe.aborted) abort();
  closedPipe.addEventListener('abort', abort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      signals[Symbol.dispose]();
      closedPipe.removeEventListener('abort', abort);
    },
  };
}
