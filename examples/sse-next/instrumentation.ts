/** Next calls it once when the server starts. */
export async function register(): Promise<void> {
  if (process.env['NEXT_RUNTIME'] === 'edge') return; // no TCP there
  const { watch } = await import('./watch.ts');
  await watch.start();
}
