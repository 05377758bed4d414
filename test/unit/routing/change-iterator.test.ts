import { describe, expect, test } from 'vitest';
import { Iterators } from '../../../src/routing/iterators.ts';
import { Route } from '../../../src/routing/route.ts';
import { ActiveSubscription } from '../../../src/routing/subscription.ts';
import { dispatching, settingsOf } from '../../support/delivering.ts';
import { watchersFor } from '../../support/sample-tables.ts';
import { deferred } from '../../support/until.ts';

const settle = () => new Promise((resolve) => setImmediate(resolve));
const over = { done: true, value: undefined };

function iterating() {
  const delivery = dispatching();
  const end = deferred();
  const route = new Route(watchersFor(['users', 'updated'])[0]!);
  let subscription!: ActiveSubscription;
  const iterators = new Iterators(end.promise);
  const open = () =>
    iterators.open((handler) => {
      route.add((subscription = new ActiveSubscription(route, undefined, handler, settingsOf())));
      return subscription;
    });
  const iterator = open();
  const send = (...ids: string[]) => {
    for (const id of ids) delivery.send(subscription, id);
  };
  return { ...delivery, iterator, iterators, open, subscription, route, end, send };
}
const id = ({ value }: IteratorResult<{ event: { id: number } }>) => value.event.id;

describe('events', () => {
  test('arrive in order, with watcher and context; an event that arrives before next() waits', async () => {
    const { iterator, send } = iterating();
    send('1', '2');
    expect(await iterator.next()).toMatchObject({
      done: false, value: { watcher: 'users:updated', event: { id: 1 }, context: { eventId: '0/1/0', attempt: 1 } },
    }); // prettier-ignore
    expect(id(await iterator.next())).toBe(2);
    const third = iterator.next();
    send('3');
    expect(id(await third)).toBe(3);
  });

  test('are done when the next one is requested, not when they are returned', async () => {
    const { iterator, ledger, send, dispatcher } = iterating();
    send('1', '2');
    await iterator.next();
    await settle();
    expect([ledger.confirmed, dispatcher.running]).toEqual([undefined, 1]);
    await iterator.next();
    expect(ledger.confirmed).toBe(1n);
    void iterator.next();
    await settle();
    expect([ledger.confirmed, dispatcher.running]).toEqual([2n, 0]);
  });

  test('that were not requested yet wait and hold the position, but do not count as running handlers', async () => {
    const { ledger, send, dispatcher } = iterating();
    send('1', '2');
    await settle();
    expect([ledger.confirmed, dispatcher.running, dispatcher.heldBy?.subscription]).toEqual([
      undefined, 0, 'users:updated',
    ]); // prettier-ignore
  });

  test('requested in advance arrive in the order of the requests, and only the last is held', async () => {
    const { iterator, ledger, send } = iterating();
    const asked = [iterator.next(), iterator.next(), iterator.next()];
    send('1', '2', '3', '4');
    expect((await Promise.all(asked)).map(id)).toEqual([1, 2, 3]);
    await settle();
    expect(ledger.confirmed).toBe(2n);
  });

  test('can be looped over', async () => {
    const { iterator, send, ledger, subscription } = iterating();
    send('1', '2', '3');
    const seen: number[] = [];
    for await (const { event } of iterator) {
      seen.push(event.id);
      if (event.id === 2) break;
    }
    await settle();
    expect([seen, subscription.active, ledger.confirmed]).toEqual([[1, 2], false, 3n]);
  });
});

describe('leaving the loop', () => {
  test('ends the subscription: its event is done, and waiting events are dropped', async () => {
    const { iterator, route, send, ledger } = iterating();
    send('1', '2');
    await iterator.next();
    expect(await iterator.return()).toEqual(over);
    await settle();
    expect([route.count, ledger.confirmed]).toEqual([0, 2n]);
    expect(await iterator.next()).toEqual(over);
  });

  test('answers pending requests', async () => {
    const { iterator } = iterating();
    const asked = [iterator.next(), iterator.next()];
    await iterator.return();
    expect(await Promise.all(asked)).toEqual([over, over]);
  });
});

describe('the subscription ends', () => {
  test('by unsubscribing or a signal: the loop ends normally, once the current event is done', async () => {
    const { iterator, subscription, send, ledger } = iterating();
    send('1', '2');
    await iterator.next();
    subscription.unsubscribe();
    await settle();
    expect(ledger.confirmed).toBeUndefined();
    expect(await iterator.next()).toEqual(over);
    await settle();
    expect(ledger.confirmed).toBe(2n);
  });

  test('while a request is pending, and other listeners of the end still run', async () => {
    const told: string[] = [];
    const route = new Route(watchersFor(['users', 'updated'])[0]!);
    let subscription!: ActiveSubscription;
    const iterator = new Iterators(new Promise(() => {})).open((handler) => {
      route.add((subscription = new ActiveSubscription(route, undefined, handler, settingsOf())));
      subscription.onEnd = () => told.push('signal let go of');
      return subscription;
    });
    const asked = iterator.next();
    subscription.unsubscribe();
    expect([await asked, told]).toEqual([over, ['signal let go of']]);
  });

  test('before it began, by an aborted signal: no event arrives', async () => {
    const route = new Route(watchersFor(['users', 'updated'])[0]!);
    const iterator = new Iterators(new Promise(() => {})).open((handler) => {
      const ended = new ActiveSubscription(route, undefined, handler, settingsOf());
      ended.active = false;
      return ended;
    });
    expect(await iterator.next()).toEqual(over);
  });
});

describe('the watch ends', () => {
  test('by stop(): the loop ends normally', async () => {
    const { iterator, end } = iterating();
    const asked = iterator.next();
    end.resolve();
    expect([await asked, await iterator.next()]).toEqual([over, over]);
  });

  test('by an error: it is thrown once, to the first pending request', async () => {
    const { iterator, end } = iterating();
    const asked = [iterator.next(), iterator.next()];
    end.reject(new Error('ended'));
    await expect(asked[0]).rejects.toThrow('ended');
    expect([await asked[1], await iterator.next()]).toEqual([over, over]);
  });

  test('by an error without a pending request: the next request throws it', async () => {
    const { iterator, end } = iterating();
    end.reject(new Error('ended'));
    await settle();
    await expect(iterator.next()).rejects.toThrow('ended');
    expect(await iterator.next()).toEqual(over);
  });
});

test('an iterator that has ended is released, however it ended; the others end with the watch', async () => {
  const { iterators, iterator, open, end } = iterating();
  const rest = open();
  const aborted = iterators.open((handler) => {
    const ended = new ActiveSubscription(new Route(watchersFor(['users', 'updated'])[0]!), undefined, handler, settingsOf());
    ended.active = false;
    return ended;
  }); // prettier-ignore
  expect([iterators.size, aborted.ended]).toEqual([2, true]);
  await iterator.return();
  expect([iterators.size, rest.ended]).toEqual([1, false]);
  for (let count = 0; count < 100; count++) await open().return();
  expect(iterators.size).toBe(1);
  end.resolve();
  await settle();
  expect([iterators.size, rest.ended]).toEqual([0, true]);
});
