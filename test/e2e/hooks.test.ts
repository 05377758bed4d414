/** `walwatch/react` in a browser, in StrictMode, with a watch whose events the test emits. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { beforeEach, describe, expect, test } from 'vitest';
import { sse, toNodeHandler } from '../../src/sse/index.ts';
import { noChromium, useBrowser } from '../support/browser.ts';
import { type FakeWatch, fakeWatch } from '../support/fake-watch.ts';
import { deferred, until } from '../support/until.ts';

describe.skipIf(noChromium)('the hooks', () => {
  const browser = useBrowser();
  let fake: FakeWatch;
  let server: Server;
  let url: string;
  /** The requests of the page. */
  let loads: string[];
  let pageLoads: string[];
  let aborted: string[];
  let streams: string[];
  let open: number;
  /** Answers a load. */
  let load: (role: string) => Promise<number> | number;

  beforeEach(async ({ onTestFinished }) => {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL('hooks-page/main.ts', import.meta.url))],
      bundle: true,
      write: false,
      format: 'esm',
      alias: alias(['client', 'react']),
    });
    [loads, pageLoads, aborted, streams, open] = [[], [], [], [], 0];
    load = () => 200;
    fake = fakeWatch();
    const live = toNodeHandler(sse(fake.watch, { authorize: () => true }));
    const answer = async (request: IncomingMessage, response: ServerResponse) => {
      const { pathname, searchParams } = new URL(request.url!, 'http://localhost');
      if (pathname === '/live') {
        streams.push(searchParams.get('watch')!);
        open++;
        response.on('close', () => open--);
        live(request, response);
      } else if (pathname === '/load') {
        const role = searchParams.get('role')!;
        (role.startsWith('page') ? pageLoads : loads).push(role);
        const number = loads.length;
        response.on('close', () => {
          if (!response.writableFinished) aborted.push(role);
        });
        response.writeHead(await load(role)).end(`load ${number} of ${role}`);
      } else if (pathname === '/main.js') {
        response.writeHead(200, { 'content-type': 'text/javascript' }).end(outputFiles[0]!.contents);
      } else {
        response.writeHead(200, { 'content-type': 'text/html' });
        response.end(
          '<link rel="icon" href="data:,"><div id="root"></div><script type="module" src="main.js"></script>',
        );
      }
    };
    server = createServer((request, response) => void answer(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    // Registered before the page is opened, so it runs after the page is closed.
    onTestFinished(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });

  /** Opens the page and waits until it has loaded twice: at once, and when its subscriptions are active. */
  const opened = async (mayFail?: RegExp) => {
    const page = await browser.open(url, mayFail ? { mayFail } : {});
    await page.getByText('load 2 of 7, fine').waitFor();
    expect([open, loads]).toEqual([1, ['7', '7']]);
    return page;
  };

  test('useLive loads at once, at every matching change and at reset', async () => {
    const page = await opened();
    const shows = (number: number) => page.getByText(`load ${number} of 7, fine`).waitFor();
    fake.emit('users:updated', '0/A/0', { id: 5, name: 'x', role_id: 8 });
    fake.emit('users:updated', '0/B/0', { id: 5, name: 'x', role_id: 7 });
    await shows(3);
    fake.tell('gap');
    await shows(4);
    expect(loads.length).toBe(4);
  });

  test('changes during a load make one more load, not one each', async () => {
    const page = await opened();
    let finish!: (status: number) => void;
    load = () => new Promise((resolve) => (finish = resolve));
    fake.emit('users:updated', '0/1/0', { id: 5, name: 'x', role_id: 7 });
    await until(() => loads.length === 3, { describe: 'a load' });
    for (const n of [2, 3, 4]) fake.emit('users:updated', `0/${n}/0`, { id: 1, name: String(n), role_id: 7 });
    await page.getByText('a-2,a-3,a-4').waitFor(); // the page has received them
    expect(loads.length).toBe(3);
    load = () => 200;
    finish(200);
    await page.getByText('load 4 of 7, fine').waitFor();
    expect(loads.length).toBe(4);
  });

  test('the error of a failed load is shown with the old data until a load succeeds', async () => {
    const page = await opened(/500/);
    load = () => 500;
    fake.emit('users:updated', '0/1/0', { id: 5, name: 'x', role_id: 7 });
    await page.getByText('load 2 of 7, load: 500').waitFor();
    load = () => 200;
    await page.getByText(/load \d+ of 7, fine/).waitFor(); // without any change
  });

  test('a new filter aborts the running load and ends the old subscription', async () => {
    const page = await opened();
    load = (role) => (role === '7' ? new Promise<number>(() => {}) : 200);
    fake.emit('users:updated', '0/1/0', { id: 5, name: 'x', role_id: 7 });
    await until(() => loads.length === 3, { describe: 'a load of 7' });
    await page.locator('#role').click({ force: true });
    await page.getByText(/^load \d+ of 8, fine$/).waitFor();
    await until(() => aborted.includes('7'), { describe: 'the abort' });
    await until(() => streams.at(-1)?.includes('{"role_id":8}'), { describe: 'a subscription to 8' });
    expect(streams.at(-1)).not.toContain('{"role_id":7}');
  });

  test('useWatch calls the callback of the last render, and a new but equal filter object does not subscribe again', async () => {
    const page = await opened();
    const before = streams.length;
    fake.emit('users:updated', '0/1/0', { id: 1, name: 'Ada', role_id: 1 });
    await page.getByText('a-Ada').waitFor();
    await page.locator('#prefix').click({ force: true });
    await page.evaluate('new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))'); // effects have run
    fake.emit('users:updated', '0/2/0', { id: 1, name: 'Eve', role_id: 1 });
    await page.getByText('a-Ada,b-Eve').waitFor();
    expect(streams.length).toBe(before);
  });

  test('an id that is not known yet subscribes to nothing and loads nothing', async () => {
    const page = await opened();
    expect([pageLoads, streams.length, streams.join()]).toEqual([[], 1, expect.not.stringContaining('null')]);
    expect(JSON.parse(streams[0]!)).toHaveLength(2); // those of the other components
    await page.locator('#id').click({ force: true });
    await page.getByText(/^page 1: load/).waitFor();
    await until(() => streams.at(-1)!.includes('["users:updated",42'), { describe: 'its subscription' });
  });

  test('data of other deps is dropped: page 2 never shows data of page 1', async () => {
    const page = await opened();
    const slow = deferred<number>();
    load = (role) => (role === 'page1' ? slow.promise : 200);
    await page.locator('#id').click({ force: true });
    await until(() => pageLoads.length > 0, { describe: 'a load of page 1' });
    await page.locator('#page').click({ force: true });
    await page.getByText(/^page 2: load \d+ of page2$/).waitFor();
    slow.resolve(200);
    fake.emit('users:updated', '0/A/0', { id: 42, name: 'x', role_id: 1 });
    const before = pageLoads.length;
    await until(() => pageLoads.length > before, { describe: 'another load' });
    await page.getByText(/^page 2: load \d+ of page2$/).waitFor();
    await until(() => aborted.includes('page1'), { describe: 'the end of the load of page 1' });
    expect(pageLoads.at(-1)).toBe('page2');
  });

  test('a page without data does not show data of another page', async () => {
    const page = await opened();
    await page.locator('#id').click({ force: true });
    await page.getByText(/^page 1: load/).waitFor();
    load = () => new Promise(() => {});
    await page.locator('#page').click({ force: true });
    await page.getByText('page 2: nothing').waitFor();
  });

  test('a disabled hook ends its subscription and keeps its data, and loads again when it is enabled', async () => {
    const page = await opened();
    await page.locator('#id').click({ force: true });
    await page.getByText(/^page 1: load/).waitFor();
    await until(() => streams.at(-1)!.includes('["users:updated",42'), { describe: 'its subscription' });
    await page.locator('#enable').click({ force: true });
    await until(() => !streams.at(-1)!.includes('["users:updated",42'), { describe: 'the end of its subscription' });
    await page.getByText(/^page 1: load/).waitFor();
    const before = pageLoads.length;
    await page.locator('#enable').click({ force: true });
    await until(() => pageLoads.length > before, { describe: 'a load' });
    await page.locator('#pages').click({ force: true });
    await until(() => pageLoads.length > before + 1, { describe: 'a load by reload' });
  });

  test('unmounting all components closes their connection', async () => {
    const page = await opened();
    await page.locator('#hide').click({ force: true });
    await until(() => open === 0, { describe: 'the end of the connection' });
  });
});

const alias = (names: readonly string[]) =>
  Object.fromEntries(
    names.map((name) => [`walwatch/${name}`, fileURLToPath(new URL(`../../src/${name}/index.ts`, import.meta.url))]),
  );
