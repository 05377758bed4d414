/** Next calls it once when the server starts, and waits for it before it answers requests. */
export async function register(): Promise<void> {
  if (process.env['NEXT_RUNTIME'] === 'edge') return; // no TCP there
  const { getWatch } = await import('./watch.ts');
  const watch = getWatch();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void watch.stop()); // ends the streams too
  void watch.start(); // not awaited: while another server has the slot, this one waits, and answers all the same
}
