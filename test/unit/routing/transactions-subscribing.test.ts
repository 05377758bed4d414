import { describe, expect, test } from 'vitest';
import { useFakeTime } from '../../support/fake-time.ts';
import { reading, transacting } from '../../support/transacting.ts';
import { deferred } from '../../support/until.ts';

const tick = useFakeTime({ random: 1 });

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
