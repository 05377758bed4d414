import { type ConfigurationIssue, shown } from '../errors.ts';
import { longestTimeout } from '../options.ts';
import { unknownKeys } from '../option-names.ts';
import type { BatchOptions } from '../types/delivery.ts';

/** Problems of a subscription's option `batch`. */
export function batchIssues(batch: BatchOptions): ConfigurationIssue[] {
  const issues: ConfigurationIssue[] = [];
  const solution = '{ batch: { size: 500, wait: 50, latest: true } }';
  if (typeof batch !== 'object' || batch === null)
    return [{ message: `batch must be an object, not ${shown(batch)}`, solution }];
  unknownKeys(batch, ['size', 'wait', 'latest'], 'batch option', issues);
  const { size, wait = 0, latest = false } = batch;
  if (!Number.isInteger(size) || size < 1)
    issues.push({ message: `batch.size must be a whole number, 1 or more, not ${shown(size)}`, solution });
  if (!(typeof wait === 'number' && wait >= 0 && wait <= longestTimeout))
    issues.push({
      message: `batch.wait must be a number of milliseconds from 0 to ${longestTimeout}, not ${shown(wait)}`,
      solution,
    });
  if (typeof latest !== 'boolean')
    issues.push({ message: `batch.latest must be true or false, not ${shown(latest)}`, solution });
  return issues;
}

export function withDefaults({ size, wait = 0, latest = false }: BatchOptions): Required<BatchOptions> {
  return { size, wait, latest };
}
