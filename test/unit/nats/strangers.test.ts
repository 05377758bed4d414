/** Events for watchers that a process does not have. */
import { expect, test } from 'vitest';
import type { StreamMessage } from '../../../src/nats/stream-message.ts';
import { Strangers } from '../../../src/nats/strangers.ts';

function settling(wanted: readonly string[] | undefined, alive: readonly string[] = [], comesAgain = true) {
  const told: string[] = [];
  const strangers = new Strangers({
    wanted: () => Promise.resolve(wanted && new Set(wanted)),
    isAlive: (token) => Promise.resolve(alive.includes(token)),
    bury: ({ subject }) => Promise.resolve(void told.push(`letter of ${subject}`)),
    giveUp: (token) => Promise.resolve(told.push(`without ${token}`) > 0 && comesAgain),
    warn: ({ message }) => told.push(message),
  });
  const take = async (token: string, deliveries: number) => {
    strangers.take({
      subject: `walwatch.slot.${token}.1`,
      deliveries,
      ack: () => told.push(`ack ${token}`),
      giveBack: (delay: number) => told.push(`give back ${token} for ${delay} ms`),
    } as unknown as StreamMessage);
    await strangers.settle();
  };
  return { take, told };
}

test('an event for a watcher of another process is given back, each time with a longer delay', async () => {
  const { take, told } = settling(['jobs:deleted']);
  await take('jobs:deleted', 1);
  await take('jobs:deleted', 3);
  await take('jobs:deleted', 99);
  expect(told).toEqual([
    'give back jobs:deleted for 250 ms',
    'give back jobs:deleted for 750 ms',
    'give back jobs:deleted for 3000 ms',
  ]);
});

test('an event for a watcher that no process of the group ever had is skipped', async () => {
  const { take, told } = settling(['jobs:deleted']);
  await take('others:deleted', 1);
  expect(told).toEqual(['ack others:deleted']);
});

test('an event is given back while the watchers of the group cannot be read', async () => {
  const { take, told } = settling(undefined);
  await take('others:deleted', 1);
  expect(told).toEqual(['give back others:deleted for 250 ms']);
});

test('events without a process for their watcher become dead letters after minutes, with one warning', async () => {
  const { take, told } = settling(['jobs:deleted']);
  await take('jobs:deleted', 100);
  await take('jobs:deleted', 99);
  await take('jobs:deleted', 100);
  const letter = 'letter of walwatch.slot.jobs:deleted.1';
  expect(told).toEqual([
    'without jobs:deleted',
    `no process of the group has the watcher of walwatch.slot.jobs:deleted.1, so the group stops reading its events: events that were already delivered become dead letters`,
    letter,
    'give back jobs:deleted for 3000 ms',
    letter,
  ]);
});

test('the warning says when all later events are skipped', async () => {
  const { take, told } = settling(['jobs:deleted'], [], false);
  await take('jobs:deleted', 100);
  expect(told[1]).toMatch(/this event becomes a dead letter, and all later ones are skipped$/);
});

test('events are given back while a process with their watcher runs', async () => {
  const { take, told } = settling(['jobs:deleted'], ['jobs:deleted']);
  await take('jobs:deleted', 100);
  await take('jobs:deleted', 5000);
  expect(told).toEqual(['give back jobs:deleted for 3000 ms', 'give back jobs:deleted for 3000 ms']);
});
