import { type ConfigurationIssue, shown, throwIssues } from '../errors.ts';
import { unknownKeys } from '../option-names.ts';
import {
  annotationsPrefix,
  maxAnnotationBytes,
  maxAnnotationLevels,
  outboxPrefix,
} from '../postgres/logical-messages.ts';
import type { Annotations } from '../types/delivery.ts';
import type { JsonMessages, MessageDescriptor, Outbox } from '../types/outbox.ts';
import { executorIssues, run } from './executors.ts';
import { isPlainObject, jsonIssues } from '../changes/json.ts';

/**
 * The writing side of annotations and outbox messages. `Messages` maps the names of messages to the types of their values. An outbox
 * has no state and no connection: it uses the client or transaction that it is given. Create it where writers and handlers can import
 * it.
 *
 * @example
 * ```ts
 * interface Messages { 'order.placed': { id: number; total: string } }
 * export const outbox = createOutbox<Messages>();
 *
 * await db.transaction().execute(async (trx) => {
 *   await outbox.annotate(trx, { actor: 'user:7' });
 *   await outbox.emit(trx, 'order.placed', { id: 7, total: '9.90' }, { key: '7' });
 * });
 * ```
 */
export function createOutbox<Messages extends JsonMessages<Messages> = Record<string, unknown>>(): Outbox<Messages> {
  return { annotate, emit, message };
}

async function annotate(executor: unknown, annotations: Annotations): Promise<void> {
  const issues = executorIssues(executor);
  if (isPlainObject(annotations)) issues.push(...jsonIssues(annotations, 'annotations', maxAnnotationLevels));
  else
    issues.push({ message: `annotations must be a plain object, but is ${shown(annotations)}`, solution: undefined });
  throwIssues(issues);
  const content = Buffer.from(JSON.stringify(annotations));
  throwIssues(sizeIssues(content.length));
  await run(executor, { prefix: annotationsPrefix, content });
}

async function emit(
  executor: unknown,
  name: string,
  value: unknown,
  options: { readonly key?: string } = {},
): Promise<void> {
  throwIssues([
    ...executorIssues(executor),
    ...nameIssues(name),
    ...jsonIssues(value, 'value'),
    ...optionIssues(options),
  ]);
  const { key } = options;
  await run(executor, { prefix: outboxPrefix + name, content: Buffer.from(JSON.stringify({ key, value })) });
}

function message<const N extends string>(name: N): MessageDescriptor<N> {
  throwIssues(nameIssues(name));
  return { name, prefix: outboxPrefix + name };
}

function sizeIssues(bytes: number): ConfigurationIssue[] {
  if (bytes <= maxAnnotationBytes) return [];
  return [
    {
      message: `the annotations have ${bytes} bytes as JSON; the maximum is ${maxAnnotationBytes}`,
      solution: 'Annotate with ids, and emit() a message for more data.',
    },
  ];
}

function nameIssues(name: unknown): ConfigurationIssue[] {
  // PostgreSQL accepts neither in a prefix; a lone surrogate would become another character without an error.
  if (typeof name === 'string' && name !== '' && !/[\0\p{Surrogate}]/u.test(name)) return [];
  return [
    {
      message: `the name of a message must be a non-empty string without NUL and lone surrogates, but is ${shown(name)}`,
      solution: "Use a name such as 'order.placed'.",
    },
  ];
}

function optionIssues(options: unknown): ConfigurationIssue[] {
  if (!isPlainObject(options))
    return [{ message: `options must be an object, but is ${shown(options)}`, solution: "Use { key: '42' }." }];
  const issues: ConfigurationIssue[] = [];
  unknownKeys(options, ['key'], 'option', issues);
  const { key } = options;
  if (key !== undefined && typeof key !== 'string')
    issues.push({ message: `key must be a string, but is ${shown(key)}`, solution: 'Convert it: String(order.id).' });
  return issues;
}
