import type { ConfigurationIssue } from '../errors.ts';
import type { Watcher } from '../watchers/validate.ts';
import type { Filter } from './subscription.ts';

/** Copies the filter, because the caller may change it and the subscription is found by it. */
export function copyOf(filter: Filter): Filter {
  return typeof filter === 'object' && filter !== null ? { ...filter } : filter;
}

/**
 * Whether an argument of `events()` is its options: an object whose signal is an AbortSignal, or one with `existing`, if no watcher has a
 * column of this name. A watch that cannot read existing rows then refuses the option.
 */
export function isIteratorOptions(given: unknown, watchers: readonly Watcher[]): boolean {
  if (typeof given !== 'object' || given === null) return false;
  if ((given as { signal?: unknown }).signal instanceof AbortSignal) return true;
  return 'existing' in given && watchers.every(({ extraColumns }) => !extraColumns.includes('existing'));
}

/** `what` walwatch stores by the name of a subscription. */
export function takenName(
  name: string,
  what: 'positions' | 'dead letters' | 'the states of existing rows',
): ConfigurationIssue {
  return {
    message: `two subscriptions have the name '${name}', but ${what} are stored by subscription name`,
    solution: "Give each subscription a unique name that does not change: { name: 'mailer' }.",
  };
}
