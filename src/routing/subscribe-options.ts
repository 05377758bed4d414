import { type ConfigurationIssue, shown } from '../errors.ts';
import type { DeliverySettings } from '../delivery/recipient.ts';
import { unknownKeys } from '../option-names.ts';
import { longestTimeout, onErrorIssues } from '../options.ts';
import type { DeliveryOptions, SubscribeOptions } from '../types/delivery.ts';
import { batchIssues, withDefaults } from './batch-options.ts';

/** Options of every kind of subscription. */
export const deliveryOptionNames = [
  'name',
  'signal',
  'onError',
  'timeout',
  'transaction',
] satisfies (keyof DeliveryOptions)[];
/** Options of `subscribe`. */
export const subscribeOptionNames = [
  ...deliveryOptionNames,
  'concurrency',
  'batch',
] satisfies (keyof SubscribeOptions)[];

/** Reads the options of a subscription. Adds problems to `issues`. */
export function settingsOf(
  options: SubscribeOptions,
  defaults: DeliverySettings,
  issues: ConfigurationIssue[],
  known: readonly string[],
): DeliverySettings {
  if (typeof options !== 'object' || options === null) {
    issues.push({
      message: `the options of subscribe must be an object, not ${shown(options)}`,
      solution: '{ concurrency: 8 }',
    });
    return defaults;
  }
  unknownKeys(options, known, 'subscribe option', issues);
  const { name, timeout, concurrency = 1, onError = defaults.onError, transaction = false } = options;
  issues.push(...onErrorIssues(onError));
  if (!Number.isInteger(concurrency) || concurrency < 1)
    issues.push({
      message: `concurrency must be a whole number, 1 or more, not ${shown(concurrency)}`,
      solution: undefined,
    });
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout > 0 && timeout <= longestTimeout))
    issues.push({
      message: `timeout must be a number of milliseconds above 0 and at most ${longestTimeout}, not ${shown(timeout)}`,
      solution: 'Omit it for no timeout.',
    });
  if (name !== undefined && (typeof name !== 'string' || name === '' || name.includes('\0')))
    issues.push({ message: `name must be a non-empty string without NUL, not ${shown(name)}`, solution: undefined });
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal))
    issues.push({ message: `signal must be an AbortSignal, not ${shown(options.signal)}`, solution: undefined });
  if (transaction && concurrency !== 1) {
    issues.push({
      message: 'transaction: true handles one event at a time and cannot be combined with concurrency',
      solution: 'Remove the option concurrency.',
    });
  }
  if (options.batch !== undefined) issues.push(...batchIssues(options.batch));
  const batch = options.batch && withDefaults(options.batch);
  return { name, timeout, concurrency, onError, transaction: Boolean(transaction), batch };
}
