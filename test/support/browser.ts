/** Headless Chromium from Debian (`apt-get install chromium`), or the one that WALWATCH_TEST_CHROMIUM names. */
import { existsSync } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest';

const executablePath = process.env['WALWATCH_TEST_CHROMIUM'] ?? '/usr/bin/chromium';

/** For `describe.skipIf`. */
export const noChromium = !existsSync(executablePath);
if (noChromium)
  console.warn(`\n!!! ${executablePath} is missing: no end-to-end test is run. apt-get install -y chromium\n`);

/** At the top of a test file: opens pages. Errors on the console of a page fail the test that opened it. */
export function useBrowser(): {
  open(url: string, options?: BrowserContextOptions & { readonly mayFail?: RegExp }): Promise<Page>;
} {
  let browser: Browser | undefined;
  beforeAll(async () => {
    if (noChromium) return;
    // Playwright creates and deletes the data directory.
    browser = await chromium.launch({
      executablePath,
      headless: true,
      chromiumSandbox: false,
      args: [
        '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync',
      ], // prettier-ignore
    });
  });
  afterAll(() => browser?.close());
  return {
    async open(url, { mayFail, ...options } = {}) {
      const context = await browser!.newContext(options);
      const page = await context.newPage();
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(String(error)));
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text());
      });
      onTestFinished(async () => {
        await context.close();
        expect(problems.filter((problem) => !mayFail?.test(problem))).toEqual([]);
      });
      await page.goto(url);
      return page;
    },
  };
}
