/** A step of a script: its purpose and its statement. */
export interface Step {
  readonly why?: string | undefined;
  readonly sql: string;
  /** Milliseconds that it waits for locks, if longer than `lockTimeout`. */
  readonly patience?: number | undefined;
}

/** Milliseconds that a change of a table waits for its lock. The application's statements wait behind it. */
export const lockTimeout = 2000;

/** The SQL that is shown before the confirmation. */
export function sqlSteps(steps: readonly Step[]): string {
  return steps.map(({ why, sql }) => (why === undefined ? sql : `${commented(why)}\n${sql}`)).join('\n');
}

/** The output of `--print`. It sets the search path because psql's is not ours: see `searchPath` in postgres/session.ts. */
export function sqlScript(steps: readonly Step[]): string {
  const waiting = (milliseconds: number) => `SET lock_timeout = '${milliseconds / 1000}s';`;
  const lines = steps.flatMap((step) => {
    const own = step.patience === undefined ? [] : [waiting(step.patience)];
    return [sqlSteps([{ ...step, sql: [...own, step.sql].join('\n') }])];
  });
  return [
    'SET search_path = pg_catalog, pg_temp;',
    commented(
      'A statement that waits longer than this for a lock fails, so that the application does not wait behind it. Then run the script again.',
    ),
    waiting(lockTimeout),
    ...lines,
    'RESET lock_timeout; RESET search_path;',
  ].join('\n');
}

function commented(text: string): string {
  return text
    .split('\n')
    .map((line) => `-- ${line}`)
    .join('\n');
}
