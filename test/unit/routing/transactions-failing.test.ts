import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test, vi } from 'vitest';
import { afterAttempts } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { reading, transacting } from '../../support/transacting.ts';
import { deferred } from '../../support/until.ts';

const tick = useFakeTime({ random: 1 });

/** Without a flag for the whole run. */
const collectGarbage = () => {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
};

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
