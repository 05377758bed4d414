/** Whole transactions when the connection or the watch ends. */
import { describe, expect, test, vi } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
import { afterAttempts } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { reading, transacting } from '../../support/transacting.ts';

const tick = useFakeTime({ random: 1 });

const gone = new WatchError('CONNECTION', 'gone');

describe('a reconnect in the middle of a transaction', () => {
  test('continues in place if the server continues', async () => {
    const { on, begin, insert, commit, intake } = transacting();
    const read: unknown[][] = [];
    on(reading(read));
    begin(0x100n);
    insert(1, 2);
    await tick();
    intake.connect(true);
    begin(0x100n);
    insert(1, 2, 3);
    commit(0x100n);
    await tick();
    expect(read).toEqual([[1, 2, 3]]);
  });

  test('ends it if the server does not, without an error or a retry: it is delivered again, whole, in the new history', async () => {
    const { on, begin, insert, send, intake, router, ledger, failures, budget, dispatcher } = transacting();
    const read: unknown[][] = [];
    let error: unknown;
    on(async (transaction) => {
      await reading(read)(transaction).catch((cause: unknown) => {
        error = cause;
        throw cause;
      });
    });
    begin(0x100n);
    insert(1);
    await tick();
    insert(2);
    router.transactions.forget();
    ledger.forget();
    intake.connect(false);
    await tick();
    expect([error, failures, budget.bytes, dispatcher.heldBy]).toEqual([
      expect.objectContaining({ code: 'CONNECTION' }),
      [],
      0,
      undefined,
    ]);
    send(0x50n, 1, 2);
    await tick(1000);
    expect([read, ledger.confirmed]).toEqual([[[1, 2]], 0x58n]);
  });

  test('ends a transaction that waits for its retry, too', async () => {
    const { on, begin, insert, send, intake, router, ledger, budget } = transacting();
    const seen: [string, number][] = [];
    on((_, { eventId, attempt }) => {
      seen.push([eventId, attempt]);
      if (eventId === '0/100') throw new Error('broken');
    });
    begin(0x100n);
    insert(1);
    router.transactions.forget();
    ledger.forget();
    intake.connect(false);
    send(0x50n, 1);
    await tick(1000);
    expect([seen, budget.bytes]).toEqual([[['0/100', 1], ['0/50', 1]], 0]); // prettier-ignore
  });

  test('a subscription from the old history gets the new one from its start', async () => {
    const { on, begin, insert, send, intake, router, ledger } = transacting();
    const read: unknown[][] = [];
    begin(0x100n);
    insert(1);
    on(reading(read));
    router.transactions.forget();
    ledger.forget();
    intake.connect(false);
    send(0x50n, 2);
    await tick();
    expect(read).toEqual([[2]]);
  });
});

describe('stopping', () => {
  test.each([
    ['retry', [2]],
    [afterAttempts(1, 'skip'), [2]],
    ['retry', []],
  ] as const)(
    'in the middle of a transaction ends its handler at once, and acknowledges none of its changes: %j, rest %j',
    async (onError, rest) => {
      const { on, begin, insert, commit, router, dispatcher, ledger, failures } = transacting();
      let error: unknown;
      on((transaction) => transaction.toArray().catch((cause: unknown) => Promise.reject((error = cause))), {
        onError,
      });
      begin(0x100n);
      insert(1);
      await tick();
      const closed = dispatcher.close(1_000_000, undefined);
      router.transactions.cancel(gone);
      insert(...rest); // of the received part
      commit(0x100n);
      await closed;
      expect([error, failures, ledger.confirmed, vi.getTimerCount()]).toEqual([gone, [], undefined, 0]);
    },
  );

  test('lets a handler finish if its transaction has arrived completely', async () => {
    const { on, send, router, dispatcher, ledger } = transacting();
    const read: unknown[][] = [];
    on(reading(read));
    send(0x100n, 1, 2);
    const closed = dispatcher.close(1000, undefined);
    router.transactions.cancel(gone);
    await closed;
    expect([read, ledger.confirmed]).toEqual([[[1, 2]], 0x108n]);
  });
});
