/** `walwatch/client` in eight tabs of a browser, over HTTP/1.1, with a watch whose events the test emits. */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sse, type SseOptions, toNodeHandler } from '../../src/sse/index.ts';
import { noChromium, useBrowser } from '../support/browser.ts';
import { type FakeWatch, fakeWatch, type watchers } from '../support/fake-watch.ts';
import { until } from '../support/until.ts';

/** The page collects the names of the users in the order in which it received them. */
const source = `
  import { createClient } from './client/index.ts';
  const { searchParams } = new URL(location.href);
  const live = createClient({ url: '/live', ...JSON.parse(searchParams.get('options') ?? '{}') });
  Object.assign(window, { live, heard: [], told: [], refused: [] });
  for (const event of ['connected', 'disconnected', 'reset', 'failed']) live.on(event, () => told.push(event));
  live.on('refused', ({ filter, code }) => refused.push([filter, code]));
  window.subscribe = (...filter) => live.subscribe('users:updated', ...filter, ({ name }) => heard.push(name));
  for (const id of JSON.parse(searchParams.get('ids') ?? '[1]')) subscribe(id);
`;

describe.skipIf(noChromium)('tabs of one browser', () => {
  const browser = useBrowser();
  let script: Uint8Array;
  let fake: FakeWatch;
  let server: Server;
  let url: string;
  /** The open streams, and all streams so far. */
  let open: Set<ServerResponse>;
  let streams: { watch: string; cookie: string | undefined }[];
  let authorize: SseOptions<typeof watchers>['authorize'];

  beforeAll(async () => {
    const resolveDir = fileURLToPath(new URL('../../src', import.meta.url));
    const stdin = { contents: source, resolveDir };
    const { outputFiles } = await build({ stdin, bundle: true, write: false, format: 'esm' });
    script = outputFiles[0]!.contents;
  });

  beforeEach(async ({ onTestFinished }) => {
    [open, streams, authorize, fake] = [new Set(), [], () => true, fakeWatch()];
    const live = toNodeHandler(
      sse(fake.watch, {
        authorize: (request, wanted) => authorize(request, wanted),
        heartbeat: 1000,
        subscriptions: 20,
      }),
    );
    server = createServer((request, response) => {
      const { pathname, searchParams } = new URL(request.url!, 'http://localhost');
      if (pathname === '/live') {
        streams.push({ watch: searchParams.get('watch')!, cookie: request.headers.cookie });
        open.add(response.once('close', () => open.delete(response)));
        live(request, response);
      } else if (pathname === '/main.js') {
        response.writeHead(200, { 'content-type': 'text/javascript' }).end(script);
      } else if (pathname === '/answer') response.end('yes');
      else {
        response.writeHead(200, { 'content-type': 'text/html' });
        response.end('<link rel="icon" href="data:,"><script type="module" src="main.js"></script>');
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });

  const query = (given: { ids?: unknown[]; options?: object } = {}) =>
    `${url}?${new URLSearchParams(Object.entries(given).map(([name, value]): [string, string] => [name, JSON.stringify(value)])).toString()}`;
  const tell = (n: number, id = 1) => fake.emit('users:updated', `0/${n.toString(16)}/0`, { id, name: `${id}:${n}` });
  const list = (page: Page, name: string) => page.evaluate<unknown[]>(name);
  const hears = (page: Page, names: readonly string[]) =>
    until(async () => JSON.stringify(await list(page, 'heard')) === JSON.stringify(names), {
      describe: `a tab to receive ${names.join()}`,
    });
  const isConnected = (page: Page) =>
    until(async () => (await list(page, 'told')).includes('connected'), { describe: 'a tab to be connected' });

  async function openTabs(count: number, given: (tab: number) => Parameters<typeof query>[0] = () => ({})) {
    const first = await browser.open(query(given(0)), { mayFail: /ERR_|Failed to load/ });
    const pages = [first];
    await isConnected(first);
    while (pages.length < count) {
      const page = await first.context().newPage();
      await page.goto(query(given(pages.length)));
      await isConnected(page);
      pages.push(page);
    }
    return pages;
  }

  test('eight tabs share one stream, each receives its events, and each can still send requests', async () => {
    const pages = await openTabs(8, (tab) => ({ ids: [1, 10 + tab] }));
    expect(open.size).toBe(1);
    for (let n = 1; n <= 20; n++) tell(n);
    for (let tab = 0; tab < 8; tab++) tell(30 + tab, 10 + tab);
    const all = Array.from({ length: 20 }, (_, index) => `1:${index + 1}`);
    for (const [tab, page] of pages.entries()) {
      await hears(page, [...all, `${10 + tab}:${30 + tab}`]);
      expect(await page.evaluate(`fetch('/answer').then((response) => response.text())`)).toBe('yes');
      expect(await list(page, 'told')).toEqual(['connected']);
    }
  });

  test('when the tab with the stream closes, another takes over, and no tab misses an event or receives one twice', async () => {
    const pages = await openTabs(8);
    let n = 0;
    const all: string[] = [];
    const some = () => {
      for (let count = 0; count < 10; count++) {
        tell(++n);
        all.push(`1:${n}`);
      }
    };
    while (pages.length > 1) {
      some();
      const before = streams.length;
      const closing = pages.shift()!.close();
      some();
      await closing;
      some();
      await until(() => streams.length > before, { describe: 'a stream of another tab' });
      some();
      for (const page of pages) await hears(page, all);
      await until(() => open.size === 1, { describe: 'one stream' });
    }
    expect(await list(pages[0]!, 'told')).not.toContain('reset');
  });

  test('the subscriptions of a tab end with it', async () => {
    const [first, second] = await openTabs(2, (tab) => ({ ids: [1 + tab] }));
    expect(streams.at(-1)!.watch).toContain('["users:updated",2');
    await second!.close();
    await until(() => !streams.at(-1)!.watch.includes('["users:updated",2'), {
      describe: 'the end of its subscription',
    });
    tell(1);
    await hears(first!, ['1:1']);
  });

  test('a new subscription in one tab does not affect the other tabs', async () => {
    const [first, second] = await openTabs(2);
    tell(1);
    await hears(first!, ['1:1']);
    await hears(second!, ['1:1']);
    await second!.evaluate('void subscribe(2)');
    await until(() => streams.at(-1)!.watch.includes('["users:updated",2'), { describe: 'its subscription' });
    await until(async () => (await list(second!, 'told')).length === 2, { describe: 'the second tab to be connected' });
    tell(2, 2);
    tell(3);
    await hears(second!, ['1:1', '2:2', '1:3']);
    await hears(first!, ['1:1', '1:3']);
    expect(await list(first!, 'told')).toEqual(['connected']);
  });

  test('each tab is authorized by the cookies that the browser has when the tab is opened', async () => {
    const user = ({ headers }: Request) => Number(/user=(\d)/.exec(headers.get('cookie') ?? '')?.[1]);
    authorize = (request, wanted) => wanted.kind === 'id' && wanted.id === user(request);
    const first = await browser.open(`${url}answer`);
    await first.context().addCookies([{ name: 'user', value: '1', url }]);
    await first.goto(query({ ids: [1] }));
    await isConnected(first);
    // Another user signs in, in the same browser.
    await first.context().addCookies([{ name: 'user', value: '2', url }]);
    const second = await first.context().newPage();
    await second.goto(query({ ids: [1, 2] }));
    await isConnected(second);
    await until(async () => (await list(first, 'refused')).length > 0, { describe: 'the first tab to be refused' });
    tell(1, 1);
    tell(2, 2);
    await hears(second, ['2:2']);
    expect([await list(first, 'heard'), await list(first, 'refused')]).toEqual([[], [[1, 'DENIED']]]);
  });

  test('tabs with other names, URLs or tokens do not share', async () => {
    await openTabs(4, (tab) => ({
      options: [{}, { share: 'another user' }, { url: '/live?of=another' }, { headers: { authorization: 'Bearer x' } }][
        tab
      ]!,
    }));
    expect(open.size).toBe(4);
  });

  test('a tab that does not fit on the shared stream opens its own', async () => {
    const many = (from: number) => Array.from({ length: 15 }, (_, index) => from + index);
    const [first, second] = await openTabs(2, (tab) => ({ ids: many(1 + 100 * tab) }));
    await until(() => open.size === 2, { describe: 'a separate stream' });
    tell(1, 1);
    tell(2, 115);
    await hears(first!, ['1:1']);
    await hears(second!, ['115:2']);
  });

  test('another tab takes over from a sleeping tab', async () => {
    const [first, second] = await openTabs(2);
    // Like a suspended process: it keeps its locks and sends nothing.
    const session = await first!.context().newCDPSession(first!);
    await session.send('Debugger.enable');
    await session.send('Debugger.pause');
    void first!.evaluate('1').catch(() => {});
    const before = streams.length;
    await until(() => streams.length > before, { describe: 'the second tab to take over' });
    tell(1);
    await hears(second!, ['1:1']);
    await session.send('Debugger.resume');
    tell(2);
    await hears(second!, ['1:1', '1:2']);
    await until(async () => (await list(first!, 'heard')).includes('1:2'), {
      describe: 'the first tab to receive events again',
    });
  });
});
