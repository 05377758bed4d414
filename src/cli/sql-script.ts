/** What `--print` prints, for a session of psql whose search path is not ours: see `searchPath` in postgres/session.ts. */
export function sqlScript(statements: readonly string[]): string {
  return ['SET search_path = pg_catalog, pg_temp;', ...statements].join('\n');
}
