/** A step of a script: what it is for, and its statement. */
export interface Step {
  readonly why?: string | undefined;
  readonly sql: string;
  /** Milliseconds that it waits for locks, where that is more than `lockTimeout`. */
  readonly patience?: number | undefined;
}

/** Milliseconds that a change of a table waits, while the application queues up behind it. */
export const lockTimeout = 2000;

/** What is shown before it is asked whether to run it. */
export function sqlSteps(steps: readonly Step[]): string {
  return steps.map(({ why, sql }) => (why === undefined ? sql : `${commented(why)}\n${sql}`)).join('\n');
}

/** What `--print` prints, for a session of psql whose search path is not ours: see `searchPath` in postgres/session.ts. */
export function sqlScript(steps: readonly Step[]): string {
  const waiting = (milliseconds: number) => `SET lock_timeout = '${milliseconds / 1000}s';`;
  const lines = steps.flatMap((step) => {
    const own = step.patience === undefined ? [] : [waiting(step.patience)];
    return [sqlSteps([{ ...step, sql: [...own, step.sql].join('\n') }])];
  });
  return [
    'SET search_path = pg_catalog, pg_temp;',
    commented(
      'What has to wait for a lock fails after this time, instead of holding up the application: run it again then.',
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
