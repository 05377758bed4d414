import { type ConfigurationIssue, shown } from '../errors.ts';
import { unknownKeys } from '../option-names.ts';
import type { Route } from '../routing/route.ts';
import { takenName } from '../routing/subscribe-arguments.ts';
import type { ActiveSubscription } from '../routing/subscription.ts';
import type { ExistingOptions } from '../types/existing.ts';

/** `existing` with its defaults filled in. */
export interface ResolvedExisting {
  readonly version: string;
  readonly afterGap: 'read' | 'ignore';
  /** Rows of the first chunk. */
  readonly chunk: number;
  /** Rows of a chunk at most. */
  readonly most: number;
}

const optionNames = ['version', 'chunk', 'afterGap'] satisfies (keyof ExistingOptions)[];
const example = "existing: 'v1', or { version: 'v1', chunk: 1000, afterGap: 'read' | 'ignore' }";

/** Reads the option, and adds its problems to `issues`. */
export function resolveExisting(given: string | ExistingOptions, issues: ConfigurationIssue[]): ResolvedExisting {
  const options = typeof given === 'string' ? { version: given } : given;
  if (typeof options !== 'object' || options === null) {
    issues.push({ message: `existing is ${shown(given)}`, solution: `Expected ${example}.` });
    return { version: '', afterGap: 'read', chunk: 1000, most: Infinity };
  }
  unknownKeys(options, optionNames, 'option of existing', issues);
  const { version, chunk, afterGap = 'read' } = options;
  if (typeof version !== 'string' || version === '' || version.includes('\0'))
    issues.push({
      message: `existing.version is ${shown(version)}`,
      solution: `Expected a non-empty string without NUL: ${example}.`,
    });
  if (chunk !== undefined && !(Number.isInteger(chunk) && chunk >= 1 && chunk <= 100_000))
    issues.push({
      message: `existing.chunk is ${shown(chunk)}`,
      solution: 'Expected a whole number of rows from 1 to 100000.',
    });
  if (afterGap !== 'read' && afterGap !== 'ignore')
    issues.push({ message: `existing.afterGap is ${shown(afterGap)}`, solution: "Expected 'read' or 'ignore'." });
  return { version, afterGap, chunk: Math.min(chunk ?? 1000, 1000), most: chunk ?? Infinity };
}

/** What a subscription with `existing` needs. `others`: those that there are already. */
export function subscriptionIssues(
  name: string | undefined,
  routes: readonly Route[],
  others: readonly Pick<ActiveSubscription, 'name'>[],
): ConfigurationIssue[] {
  const issues: ConfigurationIssue[] = [];
  if (name === undefined)
    issues.push({
      message: 'existing without a name: the progress is stored under it',
      solution: "Give the subscription a name that stays: { name: 'search', existing: 'v1' }.",
    });
  else if (others.some((other) => other.name === name)) issues.push(takenName(name, 'the states of existing rows'));
  if (!routes.some(({ watcher }) => watcher.type === 'inserted'))
    issues.push({
      message: `existing rows arrive as 'inserted', and ${routes.map((route) => `'${route.name}'`).join(', ')} has no such watcher`,
      solution: "Subscribe to the table's inserted watcher as well: ['orders:inserted', 'orders:updated'].",
    });
  return issues;
}
