/** The page of `npm start` in a browser, while other sessions change the rows. */
import { once } from 'node:events';
import { get } from 'node:http';
import { createServer } from 'node:net';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { noChromium, useBrowser } from '../support/browser.ts';
import { makeFolder, removeFolder, startWorker, type Worker } from '../support/example-worker.ts';
import { inSession } from '../support/template.ts';

describe.skipIf(noChromium)('the live page', () => {
  const browser = useBrowser();
  let folder: string;
  let worker: Worker;
  let databaseUrl: string;
  let pageUrl: string;
  /** The same at each start of the worker. */
  let port: number;

  async function start(writer: 'on' | 'off'): Promise<void> {
    worker = startWorker({ TMPDIR: folder, DATABASE_URL: '', PORT: String(port), WRITER: writer });
    [, databaseUrl] = (await worker.line(/database: (postgres:\S+),/)) as unknown as [string, string];
    [, pageUrl] = (await worker.line(/page: (http:\S+)/)) as unknown as [string, string];
    await worker.line(/first start at|resumed at/);
  }

  const sql = (text: string) =>
    inSession(databaseUrl, async (client) => {
      await client.query('set search_path to walwatch_example');
      return (await client.query(text)).rows as Record<string, any>[];
    });

  async function newUser(name: string, role: number): Promise<number> {
    const [row] = await sql(`insert into users (name, role_id) values ('${name}', ${role}) returning id`);
    return row!['id'] as number;
  }

  const rowOf = (page: Page, id: number) => page.locator(`#users tr[data-id="${id}"]`);
  /** Waits until the page is shown and receives changes. */
  const isLive = (page: Page) => page.locator('#status[data-state="streaming"]').waitFor();

  beforeAll(async () => {
    folder = await makeFolder();
    port = await freePort();
    await start('off');
  });

  afterAll(() => removeFolder(folder));

  test('shows inserts, updates and deletes of SQL without a reload', async () => {
    const page = await browser.open(pageUrl);
    await isLive(page);
    const id = await newUser('Zoe', 2);
    await rowOf(page, id).getByText('member').waitFor();
    await sql(`update users set name = 'Zoe Zed', role_id = 1 where id = ${id}`);
    await rowOf(page, id).getByText('admin').waitFor();
    await rowOf(page, id).getByText('Zoe Zed').waitFor();
    await sql(`delete from users where id = ${id}`);
    await rowOf(page, id).waitFor({ state: 'detached' });
    expect(await page.evaluate(`performance.getEntriesByType('navigation').length`)).toBe(1);
  });

  test('a row that leaves the filter disappears, and one that enters it appears', async () => {
    const id = await newUser('Wanda', 1);
    const page = await browser.open(pageUrl);
    await isLive(page);
    await page.getByText('admin', { exact: true }).first().click();
    await rowOf(page, id).waitFor();
    await sql(`update users set role_id = 2 where id = ${id}`);
    await rowOf(page, id).waitFor({ state: 'detached' });
    await sql(`update users set role_id = 1 where id = ${id}`);
    await rowOf(page, id).waitFor();
    expect(await page.locator('#users tbody .role').allTextContents()).not.toContain('member');
    await sql(`delete from users where id = ${id}`);
    await rowOf(page, id).waitFor({ state: 'detached' });
  });

  test('a selected record shows its own changes and no others', async () => {
    const [id, other] = [await newUser('Ida', 1), await newUser('Otto', 1)];
    const page = await browser.open(pageUrl);
    await isLive(page);
    await rowOf(page, id).click();
    const record = page.locator('#record');
    await record.getByText('Ida').waitFor();
    await sql(`update users set email = 'otto@example.org' where id = ${other}`);
    await sql(`update users set email = 'ida@example.org' where id = ${id}`);
    await record.getByText('email: – → ida@example.org').waitFor();
    expect(await record.getByText('otto@example.org').count()).toBe(0);
    await sql(`delete from users where id in (${id}, ${other})`);
    await record.getByText('deleted', { exact: true }).waitFor();
  });

  test('the selected row does not look like the row under the pointer', async () => {
    const [id, other] = [await newUser('Chosen', 1), await newUser('Pointed at', 1)];
    const page = await browser.open(pageUrl);
    await isLive(page);
    await rowOf(page, id).click();
    await rowOf(page, other).hover();
    const look = (row: number) =>
      rowOf(page, row).evaluate((one) => {
        const { getComputedStyle } = globalThis as any;
        return [getComputedStyle(one).backgroundColor, getComputedStyle((one as any).cells[0]).boxShadow];
      });
    const [[chosen, mark], [hovered, none]] = [await look(id), await look(other)];
    expect(chosen).not.toBe(hovered);
    expect([mark === none, none]).toEqual([false, 'none']);
    await sql(`delete from users where id in (${id}, ${other})`);
  });

  test('the form runs SQL directly, with the rights of its role only', async () => {
    const id = await newUser('Uma', 2);
    const page = await browser.open(pageUrl);
    await isLive(page);
    await rowOf(page, id).click();
    await page.getByRole('button', { name: 'Run' }).click();
    await page.locator('output').getByText('UPDATE 1').waitFor();
    await rowOf(page, id).getByText('guest').waitFor();
    for (const [statement, reason] of [
      ['drop table users', 'must be owner'],
      [`select pg_read_file('/etc/passwd')`, 'permission denied'],
      ['selec', 'syntax error'],
    ] as const) {
      await page.locator('#statement').fill(statement);
      await page.getByRole('button', { name: 'Run' }).click();
      await page.locator('output[data-failed]').getByText(reason).waitFor();
    }
  });

  test('the form works only on this page: not from other sites, and not under other names of this address', async () => {
    const post = (headers: Record<string, string>, body = '{"sql":"select 1"}') =>
      fetch(`${pageUrl}/sql`, { method: 'POST', headers, body }).then(({ status }) => status);
    expect(await post({ 'content-type': 'application/json' })).toBe(200);
    expect(await post({ 'content-type': 'text/plain' })).toBe(404);
    const [rebound] = await once(get(pageUrl, { headers: { host: `elsewhere.example.org:${port}` } }), 'response');
    expect(rebound.resume().statusCode).toBe(421);
  });

  test('after a restart of the server the page continues without a missed change', async () => {
    const id = await newUser('Rosa', 2);
    const page = await browser.open(pageUrl, { mayFail: /ERR_|Failed to load resource/ });
    await isLive(page);
    await rowOf(page, id).getByText('member').waitFor();
    expect(await worker.end('SIGKILL')).toBe('SIGKILL');
    const status = page.locator('#status[data-state="lost"]');
    await status.getByText('offline, retrying').waitFor();
    expect(await status.locator('[data-of="lag"]').textContent()).toBe('–'); // unknown
    await status
      .locator('[data-of="last"]')
      .getByText(/^\d+ s ago$/)
      .waitFor(); // its age still grows
    await sql(`update users set role_id = 3 where id = ${id}`);
    const meanwhile = await newUser('Mia', 1);
    await start('off');
    await rowOf(page, id).getByText('guest').waitFor();
    await rowOf(page, meanwhile).waitFor();
    await isLive(page);
    await sql(`update users set name = 'Rosalind' where id = ${id}`);
    await rowOf(page, id).getByText('Rosalind').waitFor();
    expect(await page.evaluate(`performance.getEntriesByType('navigation').length`)).toBe(1);
  });

  test('authorize denies other watchers, in the browser too', async () => {
    const wanted = encodeURIComponent('[["walwatch_example.packages:inserted"]]');
    const response = await fetch(`${pageUrl}/live?watch=${wanted}`);
    expect([response.status, await response.text()]).toEqual([403, expect.stringContaining('authorize denied')]);
    const page = await browser.open(pageUrl, { mayFail: /403/ });
    const state = await page.evaluate(`new Promise((resolve) => {
      const source = new EventSource('/live?watch=${wanted}');
      source.onopen = () => resolve('open');
      source.onerror = () => resolve(source.readyState);
    })`);
    expect(state).toBe(2); // closed
  });

  test.each([
    ['a phone', { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }],
    ['a small window', { viewport: { width: 700, height: 800 } }],
    ['a desktop', { viewport: { width: 1440, height: 900 } }],
  ])('%s shows all of it without scrolling sideways', async (_, options) => {
    const page = await browser.open(pageUrl, options);
    await isLive(page);
    await page.locator('#users tbody tr').first().click();
    await page.locator('#record dl').waitFor();
    await page.getByRole('button', { name: 'Run' }).waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
    const cut = await page.evaluate(`[...document.querySelectorAll('main *')]
      .filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 80))`);
    // Text for screen readers is cut off on purpose.
    expect((cut as string[]).filter((html) => !/^<(legend|input)/.test(html))).toEqual([]);
  });

  test('dark and light mode follow the browser', async () => {
    const ground = async (colorScheme: 'dark' | 'light') => {
      const page = await browser.open(pageUrl, { colorScheme });
      return page.evaluate('getComputedStyle(document.body).backgroundColor');
    };
    expect([await ground('light'), await ground('dark')]).toEqual(['rgb(245, 246, 248)', 'rgb(16, 19, 23)']);
  });

  test('the page changes while another program writes', async () => {
    expect(await worker.end('SIGTERM')).toBe(0);
    await start('on');
    const page = await browser.open(pageUrl);
    await isLive(page);
    // Changed cells and new rows are marked, but nothing at the first load.
    await page.locator('#users .changed').first().waitFor();
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return (address as { port: number }).port;
}
