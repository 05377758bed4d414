/** Events for watchers that a process does not know. */
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
    warn: ({ message }) => told.push(message.replace(/^.*; /, '')),
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

test('what another process of the group wants is given back for it, and later and later', async () => {
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

test('what no process of the group ever wanted is passed over', async () => {
  const { take, told } = settling(['jobs:deleted']);
  await take('others:deleted', 1);
  expect(told).toEqual(['ack others:deleted']);
});

test('as long as nobody can say who wants it, it is given back', async () => {
  const { take, told } = settling(undefined);
  await take('others:deleted', 1);
  expect(told).toEqual(['give back others:deleted for 250 ms']);
});

test('what nobody knows after minutes becomes a dead letter, each of them, and that is told once', async () => {
  const { take, told } = settling(['jobs:deleted']);
  await take('jobs:deleted', 100);
  await take('jobs:deleted', 99);
  await take('jobs:deleted', 100);
  const letter = 'letter of walwatch.slot.jobs:deleted.1';
  expect(told).toEqual([
    'without jobs:deleted',
    'those that were on their way become dead letters',
    letter,
    'give back jobs:deleted for 3000 ms',
    letter,
  ]);
});

test('where the rest is passed over, the warning says so', async () => {
  const { take, told } = settling(['jobs:deleted'], [], false);
  await take('jobs:deleted', 100);
  expect(told[1]).toMatch(/passed over like all that follow$/);
});

test('as long as a process with the watcher lives, its events are given back', async () => {
  const { take, told } = settling(['jobs:deleted'], ['jobs:deleted']);
  await take('jobs:deleted', 100);
  await take('jobs:deleted', 5000);
  expect(told).toEqual(['give back jobs:deleted for 3000 ms', 'give back jobs:deleted for 3000 ms']);
});
