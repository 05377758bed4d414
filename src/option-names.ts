import { type ConfigurationIssue, throwIssues } from './errors.ts';
import { nearest } from './nearest.ts';

/** Reports unknown keys: a misspelt option must not be ignored silently. */
export function unknownKeys(
  given: object,
  allowed: readonly string[],
  what: string,
  issues: ConfigurationIssue[],
): void {
  for (const key of Object.keys(given)) {
    if (!allowed.includes(key)) issues.push({ message: `unknown ${what} '${key}'`, solution: meant(key, allowed) });
  }
}

/** @throws ConfigurationError with every unknown key */
export function refuseUnknownKeys(given: unknown, allowed: readonly string[], what: string): void {
  const issues: ConfigurationIssue[] = [];
  if (typeof given === 'object' && given !== null) unknownKeys(given, allowed, what, issues);
  throwIssues(issues);
}

/** `Did you mean 'concurrency'? Known: …` */
export function meant(given: string, known: readonly string[]): string {
  const near = nearest(given, known);
  return `${near === undefined ? '' : `Did you mean '${near}'? `}Known: ${known.join(', ') || 'none'}.`;
}
