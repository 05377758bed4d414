import { getWatch } from './watch.ts';

/** In a file of its own, which Next does not bundle for its edge runtime. */
export function start(): void {
  const watch = getWatch();
  const stop = async () => {
    await watch.stop(); // ends the streams too
    // Without this variable Next ends the process by itself, with 143, perhaps in the middle of a handler.
    if (process.env['NEXT_MANUAL_SIG_HANDLE']) process.exit();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop());
  void watch.start(); // not awaited: while another server has the slot, this one waits, and answers all the same
}
