import { type ConfigurationIssue, shown } from '../errors.ts';
import type { DeliverySettings } from '../delivery/recipient.ts';
import { outboxPrefix } from '../postgres/logical-messages.ts';
import type { MessageDescriptor } from '../types/outbox.ts';

/** Problems of the first two arguments of `onMessage`. */
export function messageIssues(message: unknown, handler: unknown): ConfigurationIssue[] {
  const issues: ConfigurationIssue[] = [];
  if (typeof message !== 'string' && !isDescriptor(message))
    issues.push({
      message: `onMessage expects a prefix or an outbox message, not ${shown(message)}`,
      solution: "onMessage('outbox', (message) => …) or onMessage(outbox.message('order.placed'), (message) => …)",
    });
  if (typeof handler !== 'function')
    issues.push({ message: 'the handler is not a function', solution: "onMessage('outbox', (message) => …)" });
  return issues;
}

function isDescriptor(message: unknown): boolean {
  if (typeof message !== 'object' || message === null) return false;
  const { name, prefix } = message as Partial<MessageDescriptor>;
  return typeof name === 'string' && name !== '' && prefix === outboxPrefix + name;
}

/** Problems of options that need a key, which messages of a plain prefix do not have. */
export function keylessIssues(prefix: unknown, { concurrency, batch }: DeliverySettings): ConfigurationIssue[] {
  const solution =
    "Write them with outbox.emit(…, { key }), and subscribe with onMessage(outbox.message('order.placed'), …).";
  const which = `messages with the prefix ${shown(prefix)} have no key`;
  const issues: ConfigurationIssue[] = [];
  if (concurrency !== 1)
    issues.push({ message: `${which}, so concurrency cannot keep messages of one record in order`, solution });
  if (batch?.latest)
    issues.push({ message: `${which}, so batch.latest cannot tell which ones are outdated`, solution });
  return issues;
}
