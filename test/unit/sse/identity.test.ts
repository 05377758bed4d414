import { expect, test } from 'vitest';
import { identityOf } from '../../../src/sse/identity.ts';

const of = (url: string, headers: Record<string, string> = {}) =>
  identityOf(new Request(`http://localhost${url}`, { headers }));

test('another path, another parameter or another header may be another user', () => {
  const all = [of('/a/live?t=1'), of('/b/live?t=1'), of('/a/live?t=2'), of('/a/live?t=1', { cookie: 'a' })];
  expect(new Set(all).size).toBe(4);
});

test('the list of subscriptions, and headers that browsers change, do not change the identity', () => {
  expect(of('/a/live?t=1&watch=x', { 'last-event-id': '1' })).toBe(of('/a/live?watch=y&t=1', { origin: 'http://b' }));
});
