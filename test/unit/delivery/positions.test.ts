import type { Client } from 'pg';
import { expect, test } from 'vitest';
import { positionIssues } from '../../../src/delivery/positions.ts';

test('on a read-only standby a transaction is refused without a query', async () => {
  const client = { query: () => Promise.reject(new Error('asked')) } as unknown as Client;
  const issues = await positionIssues(client, { inRecovery: true, role: 'worker' }, true);
  expect(issues).toEqual([
    { message: expect.stringContaining('standby'), solution: expect.stringContaining('primary') },
  ]);
});

test('other errors are not reported as missing privileges', async () => {
  const lost = new Error('the connection has ended');
  const client = { query: () => Promise.reject(lost) } as unknown as Client;
  await expect(positionIssues(client, { inRecovery: false, role: 'worker' }, true)).rejects.toBe(lost);
});
