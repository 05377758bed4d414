import { Budget } from '../../src/changes/budget.ts';
import { Ledger } from '../../src/changes/ledger.ts';
import { CapturedMessage } from '../../src/changes/message.ts';
import { Dispatcher } from '../../src/delivery/dispatcher.ts';
import type { HandlerHook } from '../../src/delivery/handler-hook.ts';
import type { Dead, Failure } from '../../src/delivery/recipient.ts';
import type { WatchError } from '../../src/errors.ts';
import { outboxPrefix } from '../../src/postgres/logical-messages.ts';
import { Router } from '../../src/routing/router.ts';
import { Subscriptions } from '../../src/routing/subscriptions.ts';
import type { MessageDescriptor } from '../../src/types/outbox.ts';
import { noSession } from './routing.ts';

/** What `outbox.message(name)` returns. */
export function descriptor<Value = any, const N extends string = string>(name: N): MessageDescriptor<N, Value> {
  return { name, prefix: outboxPrefix + name };
}

/** The bytes that `outbox.emit` writes. */
export function emitted(value: unknown, key?: string): string {
  return JSON.stringify({ key, value });
}

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Everything between the stream and the handlers of messages. Each message is a separate transaction, at 0/1, 0/2 and so on. */
export function messaging({ hook }: { readonly hook?: HandlerHook } = {}) {
  const failures: Failure[] = [];
  const buried: Dead[] = [];
  const warnings: WatchError[] = [];
  const ledger = new Ledger(
    new Budget(Infinity, () => {}, () => {}),
    () => {},
  ); // prettier-ignore
  const dispatcher = new Dispatcher(ledger, {
    failed: (failure) => failures.push(failure),
    stop: (error) => warnings.push(error),
    warn: (warning) => warnings.push(warning),
    bury: async (dead) => void buried.push(dead),
    ...(hook && { hook }),
  });
  const router = new Router([], (...given) => dispatcher.deliver(...given), quiet, { ledger, limit: 1_000_000 });
  const subscriptions = new Subscriptions(router, { onError: 'retry' }, noSession);
  let sent = 0n;
  const write = (prefix: string, content: string | Buffer) => {
    const transaction = ledger.begin({ finalLsn: ++sent, xid: 1, committedAt: 0 });
    const message = { transactional: true, prefix, content: Buffer.from(content) };
    if (router.messages.has(prefix)) router.push(new CapturedMessage(transaction, 0, 0, message, 1));
    ledger.commit(transaction, sent);
  };
  return {
    ledger, dispatcher, router, failures, buried, warnings, write,
    onMessage: subscriptions.subscribeToMessages.bind(subscriptions),
    emit: (name: string, value: unknown, key?: string) => write(outboxPrefix + name, emitted(value, key)),
  }; // prettier-ignore
}
