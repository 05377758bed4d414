/** A client that talks to the handler of sse() over a fake network. */
import { onTestFinished } from 'vitest';
import { type ClientOptions, createClient } from '../../src/client/index.ts';
import { sse, type SseOptions } from '../../src/sse/index.ts';
import { type Network, networkTo } from './event-source.ts';
import { fakeWatch, type watchers } from './fake-watch.ts';
import { until } from './until.ts';

export type Transport = (network: Network) => Partial<ClientOptions>;
export const overFetch: Transport = ({ fetch }) => ({ fetch: fetch as never });
export const overEventSource: Transport = ({ EventSource }) => ({ EventSource });

export function live({
  transport = overFetch,
  handler,
  ...options
}: Partial<SseOptions<typeof watchers>> & {
  transport?: Transport;
  /** Answers a request before the server does. */
  handler?: (request: Request) => Response | undefined;
} = {}) {
  const fake = fakeWatch();
  const server = sse(fake.watch, { authorize: () => true, ...options });
  const network = networkTo((request) => handler?.(request) ?? server(request));
  const client = createClient<typeof watchers>({ url: 'http://localhost/live?team=4', ...transport(network) });
  const told: string[] = [];
  const refused: unknown[] = [];
  const failed: unknown[] = [];
  for (const event of ['connected', 'disconnected', 'reset'] as const) client.on(event, () => told.push(event));
  client.on('refused', (refusal) => refused.push(refusal));
  client.on('failed', (failure) => failed.push(failure));
  onTestFinished(() => client.close());
  return {
    fake,
    network,
    client,
    told,
    refused,
    failed,
    connected: (times = 1) =>
      until(() => told.filter((event) => event === 'connected').length >= times, {
        describe: () => `connected; ${told.join()}; ${JSON.stringify([refused, failed])}`,
      }),
  };
}

export const received = (events: readonly unknown[], count: number) =>
  until(() => events.length >= count, { describe: () => `${count} events; there were ${JSON.stringify(events)}` });

/** Subscriptions whose list does not fit into a short URL. */
export const readings = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    id: index + 1,
    key: 'a name that makes the request long enough'.repeat(2),
  }));
