import { getWatch } from './watch.ts';

/** A separate file, so that Next does not bundle it for the edge runtime. */
export function start(): void {
  const watch = getWatch();
  const stop = async () => {
    await watch.stop(); // also ends the streams
    // Without this variable Next ends the process with exit code 143, possibly while a handler runs.
    if (process.env['NEXT_MANUAL_SIG_HANDLE']) process.exit();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop());
  void watch.start(); // not awaited: while another server has the slot, this one waits and already answers
}
