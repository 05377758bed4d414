/** Next calls this once when the server starts, and waits for it before it answers requests. */
export async function register(): Promise<void> {
  if (process.env['NEXT_RUNTIME'] === 'edge') return; // the edge runtime has no TCP
  const { start } = await import('./start.ts');
  start();
}
