import { noAnnotations, ReceivedAnnotations } from '../changes/annotations.ts';
import { jsonIssues } from '../changes/json.ts';
import { type ConfigurationIssue, shown } from '../errors.ts';
import { unknownKeys } from '../option-names.ts';
import type { Annotations } from '../types/delivery.ts';

/** `DeliverOptions` with the defaults filled in. */
export interface ResolvedDeliverOptions {
  readonly annotations: Annotations;
  readonly times: number;
}

/** Reads the options of a delivery. Adds problems to `issues`. `others`: names of options that belong to the change or message. */
export function resolveDeliverOptions(
  options: unknown,
  others: readonly string[],
  issues: ConfigurationIssue[],
): ResolvedDeliverOptions {
  if (options === undefined) return { annotations: noAnnotations, times: 1 };
  if (typeof options !== 'object' || options === null) {
    issues.push({ message: `the options are ${shown(options)}`, solution: 'Pass an object: { times: 2 }.' });
    return { annotations: noAnnotations, times: 1 };
  }
  unknownKeys(options, ['annotations', 'times', ...others], 'option of a delivery', issues);
  const { annotations, times = 1 } = options as Partial<ResolvedDeliverOptions>;
  if (!Number.isInteger(times) || times < 1)
    issues.push({ message: `times must be a whole number, 1 or more, not ${shown(times)}`, solution: undefined });
  return { annotations: received(annotations, issues), times };
}

/** As they arrive after they were written as JSON. */
function received(annotations: unknown, issues: ConfigurationIssue[]): Annotations {
  if (annotations === undefined) return noAnnotations;
  const message = new ReceivedAnnotations();
  const reason = message.merge(Buffer.from(jsonOf(annotations, 'annotations', issues)));
  if (reason !== undefined)
    issues.push({
      message: `annotations: ${reason}`,
      solution: "Pass an object that JSON can hold: { annotations: { actor: 'user:7' } }.",
    });
  return message.current;
}

/** A value as JSON. Adds problems to `issues`: what `emit()` and `annotate()` refuse must not pass in a test. */
export function jsonOf(value: unknown, name: string, issues: ConfigurationIssue[]): string {
  const found = jsonIssues(value, name);
  issues.push(...found);
  return found.length > 0 ? '{}' : JSON.stringify(value);
}
