import { expect, test } from 'vitest';
import type { Session } from '../../../src/postgres/session.ts';
import type { Connection } from '../../../src/stream/connection.ts';
import { Ending } from '../../../src/stream/ending.ts';

/** A connection that ends in order, and in `steps` what it was told. */
function connectionOf(inOrder: boolean, pid?: number) {
  const steps: string[] = [];
  const connection = {
    options: { slot: { name: 'worker' } },
    pid,
    end: async (enough: Promise<unknown>) => {
      steps.push('end');
      if (!inOrder) await enough;
      return inOrder;
    },
  } as unknown as Connection;
  return { connection, steps };
}

const lost: Pick<Session, 'use'> = { use: () => Promise.reject(new Error('the connection has ended')) };

test.each([true, false])(
  'a server that cannot be asked is still told that the stream ends, inside a transaction: %s',
  async (inside) => {
    const { connection, steps } = connectionOf(true);
    await new Ending(connection, lost, '0/1').end(inside);
    expect(steps).toEqual(['end']);
  },
);

test('a server that cannot be asked and does not end the stream is not waited for', async () => {
  const { connection, steps } = connectionOf(false);
  await new Ending(connection, lost, '0/1').end(true);
  expect(steps).toEqual(['end']);
});
