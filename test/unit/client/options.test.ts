import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createClient } from '../../../src/client/index.ts';
import type { watchers } from '../../support/fake-watch.ts';
import { live, type Transport } from '../../support/live-client.ts';
import { hurried } from '../../support/timers.ts';
import { until } from '../../support/until.ts';

describe('the options of a client', () => {
  test('functions for headers and url are called at each attempt', async () => {
    hurried();
    let token = 0;
    const own: Transport = ({ fetch }) => ({
      fetch: fetch as never,
      url: async () => `http://localhost/live?attempt=${token}`,
      headers: () => ({ authorization: `Bearer ${++token}` }),
    });
    const { client, network, connected } = live({ transport: own });
    client.subscribe('users:updated', () => {});
    await connected();
    network.cut();
    await connected(2);
    expect(network.requests.map(({ headers }) => headers.get('authorization'))).toEqual(['Bearer 1', 'Bearer 2']);
    expect(network.urls.map(({ searchParams }) => searchParams.get('attempt'))).toEqual(['0', '1']);
  });

  test('an error of a url or headers function is reported, and retried', async () => {
    hurried();
    let signedIn = false;
    const own: Transport = ({ fetch }) => ({
      fetch: fetch as never,
      headers: () => (signedIn ? {} : Promise.reject(new Error('no token yet'))),
    });
    const { client, connected, failed } = live({ transport: own });
    client.subscribe('users:updated', () => {});
    await until(() => failed.length > 0, { describe: 'the failure' });
    expect(failed[0]).toMatchObject({ reason: 'no token yet', status: undefined });
    signedIn = true;
    await connected();
  });

  test.each([
    [
      'no fetch',
      { url: 'http://localhost/' },
      'fetch is missing here: pass `fetch` or `EventSource` to createClient()',
    ],
    ['a relative url outside of a page', { url: '/live', fetch }, "'/live' is not a valid URL; outside of a page"],
    [
      'headers with an EventSource',
      { url: 'http://localhost/', headers: {}, EventSource: class {} },
      'an EventSource cannot send `headers`',
    ],
  ])('%s: subscribe throws, createClient does not', (_, options, reason) => {
    vi.stubGlobal('fetch', undefined);
    onTestFinished(() => void vi.unstubAllGlobals());
    const client = createClient<typeof watchers>(options as never);
    expect(() => client.subscribe('users:updated', () => {})).toThrow(new TypeError(`walwatch/client: ${reason}`, {}).message); // prettier-ignore
    client.close();
  });

  test.each([
    [undefined, 'undefined'],
    [null, 'null'],
    [NaN, 'NaN'],
    [{ role_id: undefined }, 'role_id: undefined'],
    [{ role_id: 7, name: undefined }, 'name: undefined'],
    [{ role_id: Infinity }, 'role_id: Infinity'],
  ])('a filter that is not known yet never means all rows: %j', (filter, shown) => {
    const { client } = live();
    expect(() => client.subscribe('users:updated', filter as never, () => {})).toThrow(
      `the filter of 'users:updated' is incomplete (${shown})`,
    );
  });

  test('null is allowed as the value of a column', async () => {
    const { client, network, connected } = live();
    client.subscribe('users:updated', { role_id: null }, () => {});
    await connected();
    expect(network.urls[0]!.searchParams.get('watch')).toBe('[["users:updated",{"role_id":null}]]');
  });
});
