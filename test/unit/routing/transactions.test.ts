import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test, vi } from 'vitest';
import type { Change, DeliveryContext } from '../../../src/types/delivery.ts';
import { WatchError } from '../../../src/errors.ts';
import { afterAttempts } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { problemsOf } from '../../support/problems.ts';
import { reading, transacting } from '../../support/transacting.ts';
import { deferred } from '../../support/until.ts';

const tick = useFakeTime({ random: 1 });
/** Without a flag for the whole run. */
const collectGarbage = () => {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
};
const gone = new WatchError('CONNECTION', 'gone');

describe('a transaction handler gets', () => {
  test('all watched changes of one transaction in order, including those of watchers without a subscription', async () => {
    const { on, begin, insert, update, commit, ledger } = transacting({
      entries: [['users', 'inserted'], ['users', 'updated', { extraColumns: ['email'] }]],
    }); // prettier-ignore
    const seen: [readonly Change[], DeliveryContext][] = [];
    on(async (transaction, context) => void seen.push([await transaction.toArray(), context]));
    begin(0x100n);
    insert(1);
    update('1');
    insert(2);
    await tick();
    expect(seen).toEqual([]);
    commit(0x100n);
    await tick();
    const [[changes, context]] = seen as [(typeof seen)[0]];
    expect(changes.map(({ watcher, event, context: { eventId } }) => [watcher, event, eventId])).toEqual([
      ['users:inserted', { id: 1 }, '0/100/0'],
      ['users:updated', { id: 1, email: 'x' }, '0/100/1'],
      ['users:inserted', { id: 2 }, '0/100/2'],
    ]);
    expect(context).toMatchObject({ eventId: '0/100', commitLsn: '0/100', attempt: 1, xid: 7 });
    expect(changes[0]!.context.signal).toBe(context.signal);
    expect(ledger.confirmed).toBe(0x108n);
  });

  test('one transaction after the other', async () => {
    const { on, send } = transacting();
    const dones = [deferred(), deferred()];
    const seen: unknown[] = [];
    on(async (transaction, { eventId }) => {
      seen.push([eventId, (await transaction.toArray()).length]);
      await dones[seen.length - 1]?.promise;
    });
    send(0x100n, 1);
    send(0x200n, 2, 3);
    await tick();
    expect(seen).toEqual([['0/100', 1]]);
    dones[0]!.resolve();
    await tick();
    expect(seen).toEqual([['0/100', 1], ['0/200', 2]]); // prettier-ignore
  });

  test('no transaction without watched changes, as triggers and conditions decide', async () => {
    const { on, send, begin, update, commit, ledger } = transacting({
      entries: [
        ['users', 'inserted'],
        ['users', 'updated', { label: 'moved', triggerColumns: ['email'] }],
      ],
      when: { 'users:inserted': ({ id }) => id !== 2 },
    });
    const read: unknown[][] = [];
    on(reading(read));
    send(0x100n);
    send(0x200n, 2, 2);
    begin(0x300n);
    update('1');
    commit(0x300n);
    await tick();
    expect([read, ledger.confirmed]).toEqual([[], 0x308n]);
    send(0x400n, 1, 2, 3);
    await tick();
    expect(read).toEqual([[1, 3]]);
  });

  test('changes while they arrive, before the commit', async () => {
    const { on, begin, insert } = transacting();
    const seen: number[] = [];
    on(async (transaction) => {
      for await (const { event } of transaction) seen.push(event.id);
    });
    begin(0x100n);
    insert(1);
    await tick();
    expect(seen).toEqual([1]);
    insert(2);
    await tick();
    expect(seen).toEqual([1, 2]);
  });
});

describe('a transaction is acknowledged', () => {
  test('only when its handler is done, even if it has read everything', async () => {
    const { on, send, ledger, dispatcher } = transacting();
    const done = deferred();
    on(async (transaction) => {
      await transaction.toArray();
      await done.promise;
    });
    send(0x100n, 1, 2);
    await tick();
    expect(ledger.confirmed).toBeUndefined();
    expect(dispatcher.heldBy).toMatchObject({ subscription: 'transactions', eventId: '0/100' });
    done.resolve();
    await tick();
    expect([ledger.confirmed, dispatcher.heldBy]).toEqual([0x108n, undefined]);
  });

  test('even if its handler does not read it, or leaves the loop; the rest is not kept', async () => {
    const { on, send, begin, insert, commit, ledger, budget } = transacting();
    on(() => {});
    on(async (transaction) => {
      for await (const _ of transaction) break;
    });
    send(0x100n, 1, 2, 3);
    await tick();
    expect([ledger.confirmed, budget.bytes]).toEqual([0x108n, 0]);
    begin(0x200n);
    insert(4);
    await tick();
    insert(5, 6);
    expect([ledger.confirmed, budget.bytes]).toEqual([0x108n, 0]);
    commit(0x200n);
    expect(ledger.confirmed).toBe(0x208n);
  });

  test('when all of its handlers are done, including those of single events', async () => {
    const { on, subscriptions, send, ledger } = transacting();
    const done = deferred();
    on(() => {});
    subscriptions.subscribe('users:inserted', [() => done.promise]);
    send(0x100n, 1);
    await tick();
    expect(ledger.confirmed).toBeUndefined();
    done.resolve();
    await tick();
    expect(ledger.confirmed).toBe(0x108n);
  });
});

describe('a failed attempt', () => {
  test('is followed by another that gets everything again, including later arrivals', async () => {
    const { on, begin, insert, commit, failures, ledger } = transacting();
    const seen: number[][] = [];
    on(async (transaction, { attempt }) => {
      const ids: number[] = [];
      seen.push(ids);
      for await (const { event, context } of transaction) {
        expect(context.attempt).toBe(attempt);
        ids.push(event.id);
        if (attempt === 1 && ids.length === 2) throw new Error('broken');
      }
    });
    begin(0x100n);
    insert(1, 2, 3);
    await tick();
    insert(4);
    commit(0x100n);
    await tick(100);
    expect(seen).toEqual([[1, 2], [1, 2, 3, 4]]); // prettier-ignore
    expect(failures).toMatchObject([{ eventId: '0/100', attempt: 1, action: 'retry' }]);
    expect(ledger.confirmed).toBe(0x108n);
  });

  test('holds the transactions behind it', async () => {
    const { on, send } = transacting();
    const seen: string[] = [];
    on((_, { eventId, attempt }) => {
      seen.push(eventId);
      if (attempt === 1) throw new Error('broken');
    });
    send(0x100n, 1);
    send(0x200n, 2);
    await tick(99);
    expect(seen).toEqual(['0/100']);
    await tick(1);
    expect(seen).toEqual(['0/100', '0/100', '0/200']);
  });

  test('is skipped as a whole if onError decides so', async () => {
    const { on, begin, insert, commit, ledger, budget } = transacting();
    on(() => Promise.reject(new Error('broken')), { onError: afterAttempts(1, 'skip') });
    begin(0x100n);
    insert(1, 2);
    await tick();
    insert(3);
    expect([ledger.confirmed, budget.bytes]).toEqual([undefined, 0]);
    commit(0x100n);
    expect(ledger.confirmed).toBe(0x108n);
  });

  test('ends the watch if the transaction exceeds the limit, and does not acknowledge it', async () => {
    const { on, begin, insert, commit, stops, ledger } = transacting({ limit: 5000 });
    on(async (transaction) => {
      let count = 0;
      for await (const _ of transaction) if (++count === 50) throw new Error('broken');
    });
    begin(0x100n);
    insert(...Array(100).keys());
    commit(0x100n);
    await tick();
    expect(stops).toMatchObject([{ code: 'HANDLER_FAILED', cause: { message: 'broken' } }]);
    await tick(1000);
    expect(ledger.confirmed).toBeUndefined();
  });

  test('is repeated within the limit, even after everything was read', async () => {
    const { on, send, stops, failures } = transacting({ limit: 5000 });
    const read: unknown[][] = [];
    on(async (transaction, context) => {
      await reading(read)(transaction);
      if (context.attempt === 1) throw new Error('broken');
    });
    send(0x100n, 1, 2, 3, 4, 5);
    await tick(100);
    expect([stops, failures.length, read]).toEqual([
      [],
      1,
      [
        [1, 2, 3, 4, 5],
        [1, 2, 3, 4, 5],
      ],
    ]);
  });

  test('with a function that says deadLetter is tried again: a transaction has no letter', async () => {
    const { on, send, failures, ledger } = transacting();
    on((_, { attempt }) => (attempt === 1 ? Promise.reject(new Error('broken')) : undefined), {
      onError: () => 'deadLetter',
    });
    send(0x100n, 1);
    await tick(100);
    expect([failures.map(({ action }) => action), ledger.confirmed]).toEqual([['retry'], 0x108n]);
  });
});

test('a handler that takes too long has its signal aborted, and those of its changes too', async () => {
  const { on, begin, insert, commit, failures, ledger } = transacting();
  const signals: AbortSignal[] = [];
  on(
    async (transaction, { signal, attempt }) => {
      for await (const { context } of transaction) if (attempt === 1) signals.push(signal, context.signal);
    },
    { timeout: 1000 },
  );
  begin(0x100n);
  insert(1);
  await tick(1000);
  for (const { reason } of signals) expect(reason).toMatchObject({ code: 'HANDLER_TIMEOUT' });
  expect([signals.length, failures.length]).toEqual([2, 1]);
  commit(0x100n);
  await tick(100);
  expect(ledger.confirmed).toBe(0x108n);
});

describe('memory', () => {
  test('changes that the handler has taken do not count as memory, so a transaction cannot block itself', async () => {
    const { on, begin, insert, budget } = transacting();
    const taken = deferred();
    on(async (transaction) => {
      let count = 0;
      for await (const _ of transaction) if (++count === 3) await taken.promise;
    });
    begin(0x100n);
    insert(1, 2, 3, 4);
    const one = budget.bytes / 4;
    await tick();
    expect(budget.bytes).toBe(one);
    taken.resolve();
    await tick();
    expect(budget.bytes).toBe(0);
  });

  test.each([
    ['larger than any change', 10_000],
    ['smaller than a change', 10],
  ])('of a large transaction only as many bytes are kept as the limit allows: %s', async (_, limit) => {
    const { on, begin, insert } = transacting({ limit });
    const seen: WeakRef<object>[] = [];
    on(async (transaction) => {
      for await (const { event } of transaction) seen.push(new WeakRef(event));
    });
    begin(0x100n);
    for (let id = 0; id < 500; id++) {
      insert(id);
      await tick();
    }
    vi.useRealTimers();
    await new Promise((resolve) => setImmediate(resolve)); // until then a change that was read stays alive
    collectGarbage();
    expect(seen).toHaveLength(500);
    expect(seen.filter((event) => event.deref() !== undefined).length).toBeLessThan(50);
  });

  test('a change that was dropped cannot be read again: reading throws', async () => {
    const { on, begin, insert, commit, failures } = transacting({ limit: 5000 });
    on(async (transaction) => {
      for await (const _ of transaction);
      await transaction.toArray();
    });
    begin(0x100n);
    insert(...Array(100).keys());
    commit(0x100n);
    await tick();
    expect(failures).toMatchObject([{ error: { code: 'HANDLER_FAILED' }, action: 'stop' }]);
  });
});

describe('an error in a condition fails the transaction,', () => {
  const when = {
    'users:inserted': ({ id }: { id: number }) => {
      if (id === 2) throw new Error('no condition');
      return true;
    },
  };

  test('even while its handler waits for more', async () => {
    const { on, begin, insert, failures } = transacting({ when });
    on(async (transaction) => void (await transaction.toArray()));
    begin(0x100n);
    insert(1);
    await tick();
    insert(2);
    await tick();
    expect(failures).toMatchObject([{ error: { message: 'no condition' } }]);
  });

  test('even if its handler was not called yet, because it has no earlier change', async () => {
    const { on, send, failures, ledger } = transacting({ when });
    const read: unknown[][] = [];
    on(reading(read), { onError: afterAttempts(2, 'skip') });
    send(0x100n, 2);
    send(0x200n, 3);
    await tick(100);
    expect(failures.map(({ action }) => action)).toEqual(['skip']); // a retry cannot change that
    expect([read, ledger.confirmed]).toEqual([[[3]], 0x208n]);
  });

  test('even if the handler catches it', async () => {
    const { on, send, failures, warnings, ledger } = transacting({ when });
    on(async (transaction) => void (await transaction.toArray().catch(() => {})));
    send(0x100n, 2);
    await tick(100_000);
    expect(failures).toMatchObject([{ action: 'retry', retryIn: undefined, error: { message: 'no condition' } }]);
    expect(warnings).toMatchObject([{ code: 'HANDLER_FAILED', message: expect.stringContaining('0/100') }]);
    expect(ledger.confirmed).toBeUndefined();
  });
});

describe('a subscription that is made', () => {
  test('in the middle of a transaction begins with the next one', async () => {
    const { on, begin, insert, commit, send } = transacting();
    const first: unknown[][] = [];
    const second: unknown[][] = [];
    on(reading(first));
    begin(0x100n);
    insert(1);
    on(reading(second));
    insert(2);
    commit(0x100n);
    send(0x200n, 3);
    await tick();
    expect([first, second]).toEqual([[[1, 2], [3]], [[3]]]); // prettier-ignore
  });

  test('before the first watched change gets the whole transaction', async () => {
    const { on, begin, insert, commit, send } = transacting();
    const read: unknown[][] = [];
    begin(0x100n);
    on(reading(read));
    insert(1);
    commit(0x100n);
    send(0x200n, 2);
    await tick();
    expect(read).toEqual([[1], [2]]);
  });

  test('while complete transactions wait to become visible gets each of them whole', async () => {
    const { on, send, hold, release, ledger } = transacting();
    const read: unknown[][] = [];
    hold();
    send(0x100n, 1);
    send(0x200n, 2, 3);
    on(reading(read));
    release();
    send(0x300n, 4);
    await tick();
    expect([read, ledger.confirmed]).toEqual([[[1], [2, 3], [4]], 0x308n]); // prettier-ignore
  });

  test('while part of a transaction has passed and the rest waits, begins with the next one', async () => {
    const { on, begin, insert, commit, send, hold, release } = transacting();
    const read: unknown[][] = [];
    begin(0x100n);
    insert(1);
    hold();
    insert(2);
    commit(0x100n);
    on(reading(read));
    release();
    send(0x200n, 3);
    await tick();
    expect(read).toEqual([[3]]);
  });

  test('before the gate lets later transactions pass gets those', async () => {
    const { on, send, hold, release } = transacting();
    const read: unknown[][] = [];
    on(reading(read));
    hold();
    send(0x100n, 1);
    send(0x200n, 2);
    release();
    await tick();
    expect(read).toEqual([[1], [2]]);
  });
});

describe('unsubscribing', () => {
  test('in the middle of a transaction lets its handler read it to the end, and starts no other', async () => {
    const { on, begin, insert, commit, send, ledger } = transacting();
    const read: unknown[][] = [];
    const subscription = on(reading(read));
    begin(0x100n);
    insert(1);
    await tick();
    subscription.unsubscribe();
    insert(2);
    commit(0x100n);
    expect(ledger.confirmed).toBeUndefined();
    send(0x200n, 3);
    await tick();
    expect([read, ledger.confirmed]).toEqual([[[1, 2]], 0x208n]);
  });

  test('drops transactions that have not begun, even if the rest arrives later', async () => {
    const { on, begin, insert, commit, send, ledger, budget } = transacting();
    const done = deferred();
    const subscription = on(() => done.promise);
    send(0x100n, 1);
    begin(0x200n);
    insert(2);
    subscription.unsubscribe();
    insert(3);
    commit(0x200n);
    expect(ledger.confirmed).toBeUndefined();
    done.resolve();
    await tick();
    expect([ledger.confirmed, budget.bytes]).toEqual([0x208n, 0]);
  });

  test('and subscribing again in the middle of a transaction begins with the next one', async () => {
    const { on, begin, insert, commit, send } = transacting();
    const read: unknown[][] = [];
    const subscription = on(() => {});
    begin(0x100n);
    insert(1);
    subscription.unsubscribe();
    on(reading(read));
    insert(2);
    commit(0x100n);
    send(0x200n, 3);
    await tick();
    expect(read).toEqual([[3]]);
  });

  test('by a handler of the same change does not disturb the others', async () => {
    const { on, send, subscriptions } = transacting();
    const read: unknown[][] = [];
    const ended = on(() => {});
    on(() => ended.unsubscribe());
    on(reading(read));
    send(0x100n, 1, 2);
    send(0x200n, 3);
    await tick();
    expect(read).toEqual([[1, 2], [3]]); // prettier-ignore
    expect(subscriptions.named('transactions')).toBeDefined();
  });
});

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
      router.transactions.abandon(gone);
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
    router.transactions.abandon(gone);
    await closed;
    expect([read, ledger.confirmed]).toEqual([[[1, 2]], 0x108n]);
  });
});

test('dead letters, batches and concurrency are refused, and so is the watch’s default of dead letters', () => {
  const { subscriptions } = transacting();
  const refused = (options: object) =>
    problemsOf(() => subscriptions.subscribeToTransactions(() => {}, options)).length;
  expect(
    [{ onError: afterAttempts(5, 'deadLetter') }, { batch: { size: 2 } }, { concurrency: 2 }].map(refused),
  ).toEqual([1, 1, 1]);
  expect(problemsOf(() => subscriptions.subscribeToTransactions('handler' as never, undefined))).toHaveLength(1);
});
