import { shown, WatchError } from '../errors.ts';
import { outboxPrefix } from '../postgres/logical-messages.ts';
import type { OutboxMessage } from '../types/outbox.ts';

// Other bytes than those that emit() wrote must not reach a handler as U+FFFD.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads what `outbox.emit` wrote.
 *
 * @throws WatchError `MESSAGE_INVALID` if something else wrote it
 */
export function parseOutboxMessage<N extends string>(name: N, content: Uint8Array): OutboxMessage<N> {
  const message = parsed(name, content);
  if (typeof message !== 'object' || message === null || !Object.hasOwn(message, 'value'))
    throw invalid(name, `its content has no "value": ${beginning(content)}`);
  const { key, value } = message as { readonly key?: unknown; readonly value: unknown };
  if (key !== undefined && typeof key !== 'string')
    throw invalid(name, `its "key" is not a string: ${beginning(content)}`);
  return { name, value, key };
}

function parsed(name: string, content: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(content));
  } catch (error) {
    throw invalid(name, `its content is not JSON in UTF-8: ${beginning(content)}`, error);
  }
}

function beginning(content: Uint8Array): string {
  const text = Buffer.from(content.subarray(0, 100)).toString();
  return shown(text) + (content.length > 100 ? ` … (${content.length} bytes)` : '');
}

function invalid(name: string, reason: string, cause?: unknown): WatchError {
  return new WatchError('MESSAGE_INVALID', `outbox message ${shown(name)}: ${reason}`, {
    solution: `Something other than emit() writes messages with the prefix ${shown(outboxPrefix + name)}. Find it and let it use emit().`,
    cause,
  });
}
