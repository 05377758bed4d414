import { closedPipe } from './output.ts';

/** Aborts at Ctrl-C, at SIGTERM, and when nobody reads the output any more. */
export function interruption(): { readonly signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const abort = () => controller.abort();
  process.once('SIGINT', abort).once('SIGTERM', abort);
  if (closedPipe.aborted) abort();
  closedPipe.addEventListener('abort', abort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      process.off('SIGINT', abort).off('SIGTERM', abort);
      closedPipe.removeEventListener('abort', abort);
    },
  };
}
