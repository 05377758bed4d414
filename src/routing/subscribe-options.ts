import { type ConfigurationIssue } from '../errors.ts';
import type { DeliverySettings } from '../delivery/recipient.ts';
import { unknownKeys } from '../option-names.ts';
import { longestTimeout, onErrorIssues } from '../options.ts';
import type { DeliveryOptions, SubscribeOptions } from '../types/delivery.ts';
import { batchIssues, withDefaults } from './batch-options.ts';

/** Of every kind of subscription. */
export const deliveryOptionNames = [
  'name',
  'signal',
  'onError',
  'timeout',
  'transaction',
] satisfies (keyof DeliveryOptions)[];
/** Of `subscribe`. */
export const subscribeOptionNames = [
  ...deliveryOptionNames,
  'concurrency',
  'batch',
] satisfies (keyof SubscribeOptions)[];

/** Reads the options of a subscription. What is wrong with them is added to `issues`. */
export function settingsOf(
  options: SubscribeOptions,
  defaults: DeliverySettings,
  issues: ConfigurationIssue[],
  known: readonly string[],
): DeliverySettings {
  if (typeof options !== 'object' || options === null) {
    issues.push({ message: 'the options of subscribe are an object', solution: '{ concurrency: 8 }' });
    return defaults;
  }
  unknownKeys(options, known, 'subscribe option', issues);
  const { name, timeout, concurrency = 1, onError = defaults.onError, transaction = false } = options;
  issues.push(...onErrorIssues(onError));
  if (!Number.isInteger(concurrency) || concurrency < 1)
    issues.push({ message: 'concurrency is a whole number, 1 or more', solution: undefined });
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout > 0 && timeout <= longestTimeout))
    issues.push({
      message: 'timeout is a number of milliseconds, above 0',
      solution: `At most ${longestTimeout}; leave it out for none.`,
    });
  if (name !== undefined && (typeof name !== 'string' || name === ''))
    issues.push({ message: 'name is a non-empty string', solution: undefined });
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal))
    issues.push({ message: 'signal is an AbortSignal', solution: undefined });
  if (transaction && concurrency !== 1) {
    issues.push({
      message: 'transaction: true handles one event at a time, so it goes without concurrency',
      solution: 'Leave concurrency out.',
    });
  }
  if (options.batch !== undefined) issues.push(...batchIssues(options.batch));
  const batch = options.batch && withDefaults(options.batch);
  return { name, timeout, concurrency, onError, transaction: Boolean(transaction), batch };
}
