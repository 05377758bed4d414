import type { CapturedMessage } from '../changes/message.ts';
import { parseOutboxMessage } from '../changes/outbox-message.ts';
import type { WatchError } from '../errors.ts';
import { outboxPrefix } from '../postgres/logical-messages.ts';
import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import { annotationsText, type Letter } from './letter.ts';
import type { LogicalMessage } from '../types/delivery.ts';
import type { OutboxMessage } from '../types/outbox.ts';

/** Precedes the prefix or name of a message where a change has the name of its watcher. */
export const messageWatcher = 'message:';
/** Messages without a key are one record. */
const keyless = [''] as const;
/** Bytes of content that a letter stores. As hexadecimal text they take twice as much. */
const longestContent = 25_000_000;

/** A logical message as it is delivered to subscriptions to its prefix. */
export class MessageDelivery implements Deliverable {
  readonly change: CapturedMessage;

  constructor(message: CapturedMessage) {
    this.change = message;
  }

  get event(): unknown {
    return this.change.event;
  }

  get records(): readonly string[] {
    return keyless;
  }

  context(attempt: number): HandlerContext {
    return new HandlerContext(this.change, attempt);
  }

  /** The watcher that dead letters name. */
  protected get source(): string {
    return messageWatcher + this.change.event.prefix;
  }

  letter(): Letter {
    const { transaction, event } = this.change;
    const { commitLsn, xid, committedAt } = transaction;
    const { prefix, content, transactional } = event;
    const isShort = content.length <= longestContent;
    return {
      watcher: this.source,
      event: {
        prefix,
        content: (isShort ? content : content.subarray(0, 500)).toString('hex'),
        transactional: String(transactional),
      },
      context: {
        commitLsn,
        xid,
        committedAt: committedAt.toISOString(),
        ...annotationsText(this.change),
        ...(!isShort && { shortened: { content: content.length } }),
      },
    };
  }
}

/** A message of an outbox. It is read when its value or key is needed, once for all its subscriptions. */
export class OutboxDelivery extends MessageDelivery {
  readonly #name: string;
  #read: OutboxMessage | Error | undefined;

  constructor(message: CapturedMessage, name: string) {
    super(message);
    this.#name = name;
  }

  /** @throws WatchError `MESSAGE_INVALID`: the attempt fails, as if the handler had thrown it */
  override get event(): OutboxMessage {
    const message = this.#message;
    if (message instanceof Error) throw message;
    return message;
  }

  /** The key of a message that cannot be read is unknown: it counts as none. */
  override get records(): readonly string[] {
    const key = this.#key;
    return key === undefined ? keyless : [`key ${key}`];
  }

  protected override get source(): string {
    return messageWatcher + this.#name;
  }

  /** In a batch it would make all other messages fail. */
  get alone(): boolean {
    return this.#message instanceof Error;
  }

  /** `latest` keeps all messages without a key. */
  replaces(): boolean {
    return this.#key !== undefined;
  }

  get #key(): string | undefined {
    const message = this.#message;
    return message instanceof Error ? undefined : message.key;
  }

  /** Frozen, because all subscriptions and all attempts share it. */
  get #message(): OutboxMessage | Error {
    return (this.#read ??= readOf(this.#name, this.change.event.content));
  }
}

function readOf(name: string, content: Buffer): OutboxMessage | Error {
  try {
    return Object.freeze(parseOutboxMessage(name, content));
  } catch (error) {
    return error as WatchError;
  }
}

/** Restores a message from its dead letter. */
export function messageOf(event: Letter['event']): LogicalMessage {
  return {
    prefix: event['prefix'] ?? '',
    content: Buffer.from(event['content'] ?? '', 'hex'),
    transactional: event['transactional'] === 'true',
  };
}

/** The outbox message of a dead letter. Undefined: the letter is of something else, or its bytes are not what `emit` writes. */
export function outboxMessageOf(
  watcher: string,
  { prefix, content }: { readonly prefix?: unknown; readonly content?: unknown },
): OutboxMessage | undefined {
  if (!watcher.startsWith(messageWatcher) || !Buffer.isBuffer(content)) return undefined;
  const name = watcher.slice(messageWatcher.length);
  if (prefix !== outboxPrefix + name) return undefined;
  const message = readOf(name, content);
  return message instanceof Error ? undefined : message;
}
