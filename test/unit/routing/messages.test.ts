import { expect, test, vi } from 'vitest';
import { CapturedMessage } from '../../../src/changes/message.ts';
import { ConfigurationError } from '../../../src/errors.ts';
import { Router } from '../../../src/routing/router.ts';
import { noSession, noTransactions } from '../../support/routing.ts';
import { Subscriptions } from '../../../src/routing/subscriptions.ts';
import { transactionAt } from '../../support/sample-changes.ts';

const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
const content = Buffer.from('x');

function listening() {
  const delivered: string[] = [];
  const router = new Router(
    [],
    ({ name }, { event }) => delivered.push(`${name}: ${(event as { prefix: string }).prefix}`),
    log,
    noTransactions(),
  );
  const subscriptions = new Subscriptions(router, { onError: 'retry' }, noSession);
  const send = (prefix: string) =>
    router.push(new CapturedMessage(transactionAt(1n), 0, 0, { transactional: true, prefix, content }, 1));
  return { router, subscriptions, delivered, send };
}

test('a message is delivered to the subscriptions with exactly its prefix, in the order of subscribing', () => {
  const { subscriptions, delivered, send, router } = listening();
  for (const name of ['a', 'b']) subscriptions.subscribeToMessages('outbox', () => {}, { name });
  subscriptions.subscribeToMessages('outbox.x', () => {}, undefined);
  for (const prefix of ['outbox', 'Outbox', 'outbox.x', '']) send(prefix);
  expect(delivered).toEqual(['a: outbox', 'b: outbox', 'message:outbox.x: outbox.x']);
  expect(router.subscriptions).toBe(3);
});

test('a subscription ends by unsubscribing, by its signal, or before it began', () => {
  const { subscriptions, delivered, send, router } = listening();
  const controller = new AbortController();
  const one = subscriptions.subscribeToMessages('outbox', () => {}, undefined);
  subscriptions.subscribeToMessages('outbox', () => {}, { signal: controller.signal, name: 'other' });
  subscriptions.subscribeToMessages('outbox', () => {}, { signal: AbortSignal.abort() });
  expect(router.subscriptions).toBe(2);
  one.unsubscribe();
  one.unsubscribe();
  send('outbox');
  expect([delivered, router.subscriptions]).toEqual([['other: outbox'], 1]);
  controller.abort();
  send('outbox');
  expect([delivered.length, router.subscriptions]).toEqual([1, 0]);
});

test('all mistakes are reported at once', () => {
  const { subscriptions, router } = listening();
  const subscribe = (...given: unknown[]) =>
    (subscriptions.subscribeToMessages as (...all: unknown[]) => unknown).call(subscriptions, ...given);
  expect(() => subscribe(7, 'no handler', { concurrency: 8, timeout: 0 })).toThrow('4 problems');
  expect(() => subscribe('outbox', () => {}, { concurrency: 8 })).toThrow(ConfigurationError);
  expect(router.subscriptions).toBe(0);
});
