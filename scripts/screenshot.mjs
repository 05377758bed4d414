// Takes docs/public/live-page.png: the live page of `npm start`, while its writer changes rows. It needs `npm run compile`
// and a Chromium (`apt-get install chromium`, or WALWATCH_TEST_CHROMIUM names one).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chromium } from 'playwright-core';

const worker = spawn(process.execPath, ['.build/examples/worker/main.js'], {
  env: { ...process.env, DATABASE_URL: '', PORT: '0' },
  stdio: ['ignore', 'pipe', 'inherit'],
});
const exited = once(worker, 'exit');
const executablePath = process.env['WALWATCH_TEST_CHROMIUM'] ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, chromiumSandbox: false });
try {
  const page = await browser.newPage({ viewport: { width: 1200, height: 680 }, colorScheme: 'light' });
  await page.goto(await pageUrl());
  await page.locator('#status[data-state="streaming"]').waitFor();
  await page.locator('#users tbody tr').nth(2).click();
  // A change of the chosen user, made with the page's own form.
  await page.getByRole('button', { name: 'Run' }).click();
  await page.locator('#record ol li').first().waitFor();
  await page.locator('#users .changed').first().waitFor();
  await page.screenshot({ path: 'docs/public/live-page.png' });
} finally {
  await browser.close();
  worker.kill('SIGTERM');
  await exited;
}

async function pageUrl() {
  let output = '';
  for await (const text of worker.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    output += text;
    const [, url] = /page: (http:\S+)/.exec(output) ?? [];
    if (url) {
      worker.stdout.resume();
      return url;
    }
  }
  throw new Error(`the worker has ended:\n${output}`);
}
