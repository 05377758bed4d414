import type { ConfigurationIssue } from '../errors.ts';
import type { ExistingOptions } from '../types/existing.ts';
import type { Route } from './route.ts';
import type { ActiveSubscription } from './subscription.ts';

/** Reads the rows that are in the tables already, for subscriptions with the option `existing`. */
export interface ExistingReader {
  /** Adds to `issues` what is wrong with the option. */
  resolve(
    given: string | ExistingOptions,
    name: string | undefined,
    routes: readonly Route[],
    issues: ConfigurationIssue[],
  ): unknown;
  add(subscription: ActiveSubscription, routes: readonly Route[], resolved: unknown): void;
}
