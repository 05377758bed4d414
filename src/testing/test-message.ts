import { type ConfigurationIssue, shown } from '../errors.ts';
import type { LogicalMessage } from '../types/delivery.ts';
import { jsonOf } from './deliver-options.ts';

/** The message that a transaction of the application would write. `message`: a prefix, or the descriptor of an outbox message. */
export function readMessage(
  message: unknown,
  content: unknown,
  key: unknown,
  issues: ConfigurationIssue[],
): LogicalMessage {
  if (typeof message === 'string') return logical(message, plainContent(content, issues));
  const { name, prefix } = Object(message) as { readonly name?: unknown; readonly prefix?: unknown };
  if (typeof prefix !== 'string' || typeof name !== 'string') {
    issues.push({
      message: `${shown(message)} is neither a prefix nor an outbox message`,
      solution: "deliverMessage(outbox.message('order.placed'), value), or deliverMessage('prefix', content)",
    });
    return logical('', Buffer.alloc(0));
  }
  if (key !== undefined && typeof key !== 'string')
    issues.push({ message: `key is ${shown(key)}`, solution: "Pass a string: { key: '7' }." });
  const value = jsonOf(content, 'value', issues);
  const head = key === undefined ? '{' : `{"key":${JSON.stringify(key)},`;
  return logical(prefix, Buffer.from(`${head}"value":${value}}`)); // as emit() writes it
}

function plainContent(content: unknown, issues: ConfigurationIssue[]): Buffer {
  if (typeof content === 'string' || content instanceof Uint8Array) return Buffer.from(content as string);
  issues.push({
    message: `the content is ${shown(content)}`,
    solution:
      'Pass a string or bytes: JSON.stringify(value). Outbox messages: deliverMessage(outbox.message(name), value).',
  });
  return Buffer.alloc(0);
}

function logical(prefix: string, content: Buffer): LogicalMessage {
  return { prefix, content, transactional: true };
}
