import { createServer } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { leftInProcess, resources } from '../support/leftovers.ts';
import { until } from '../support/until.ts';

test('timers and sockets that were left behind are named', async () => {
  const before = resources();
  const timers = [setTimeout(() => {}, 60_000), setInterval(() => {}, 60_000)];
  const server = createServer().listen(0);
  await once(server, 'listening');
  expect(leftInProcess(before)).toEqual(expect.arrayContaining(['2 × Timeout', '1 × TCPServerWrap']));

  for (const timer of timers) clearTimeout(timer);
  server.close();
  await until(() => leftInProcess(before).length === 0, { describe: 'no timer and no socket' });
});
