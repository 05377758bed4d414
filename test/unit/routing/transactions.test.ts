import { describe, expect, test } from 'vitest';
import type { Change, DeliveryContext } from '../../../src/types/delivery.ts';
import { afterAttempts } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { problemsOf } from '../../support/problems.ts';
import { reading, transacting } from '../../support/transacting.ts';
import { deferred } from '../../support/until.ts';

const tick = useFakeTime({ random: 1 });

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

test('dead letters, batches and concurrency are refused, and so is the watch’s default of dead letters', () => {
  const { subscriptions } = transacting();
  const refused = (options: object) =>
    problemsOf(() => subscriptions.subscribeToTransactions(() => {}, options)).length;
  expect(
    [{ onError: afterAttempts(5, 'deadLetter') }, { batch: { size: 2 } }, { concurrency: 2 }].map(refused),
  ).toEqual([1, 1, 1]);
  expect(problemsOf(() => subscriptions.subscribeToTransactions('handler' as never, undefined))).toHaveLength(1);
});
