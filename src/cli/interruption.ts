import { closedPipe } from './output.ts';

/** Milliseconds in which a further signal is the same Ctrl-C: the terminal sends one to all, and npx forwards its own. */
const echo = 500;

/**
 * Calls once at the first SIGINT or SIGTERM. A further one, unless it comes right after, ends the process at once. After a signal
 * it stays in place when it is disposed of: what follows is the end of the process, which an echo must not disturb.
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

/** Aborts at Ctrl-C, at SIGTERM, and when nobody reads the output any more. */
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
