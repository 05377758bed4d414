import { expect, test } from 'vitest';
import type { Session } from '../../../src/postgres/session.ts';
import type { Connection } from '../../../src/stream/connection.ts';
import { Ending } from '../../../src/stream/ending.ts';

/** A connection that ends in order or not at all, and `steps` with the calls it got. */
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
  'a server that cannot be queried is still asked to end the stream, inside a transaction: %s',
  async (inside) => {
    const { connection, steps } = connectionOf(true);
    await new Ending(connection, lost, '0/1').end(inside);
    expect(steps).toEqual(['end']);
  },
);

test('a server that neither answers nor ends the stream is not waited for', async () => {
  const { connection, steps } = connectionOf(false);
  await new Ending(connection, lost, '0/1').end(true);
  expect(steps).toEqual(['end']);
});
