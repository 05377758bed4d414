import * as promClient from 'prom-client';
import { describe, expect, test, vi } from 'vitest';
import { HandlerHook } from '../../../src/delivery/handler-hook.ts';
import { internals, internalsVersion, type Measurements } from '../../../src/observe/internals.ts';
import { collectMetrics } from '../../../src/observe/metrics.ts';
import type { SlotWatchStatus } from '../../../src/types/events.ts';
import { ActiveSubscription } from '../../../src/routing/subscription.ts';
import type { SlotWatch } from '../../../src/types/watch.ts';
import { dispatching, settingsOf } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { deferred } from '../../support/until.ts';

useFakeTime();

/** The parts of a watch that metrics read, over a real dispatcher. */
function measured(slot = 'worker') {
  const facts = {
    status: { slot, state: 'streaming', running: 2, undeliveredBytes: 300, lagBytes: 4096, confirmedLsn: '1/10' } as Partial<SlotWatchStatus>,
    lag: 1.5 as number | undefined, retained: 5000 as number | undefined, limit: undefined as number | undefined, reconnects: 0,
  }; // prettier-ignore
  const hook = new HandlerHook(slot);
  const measurements: Measurements = {
    status: () => facts.status as SlotWatchStatus,
    lagSeconds: () => facts.lag,
    retainedWal: () => facts.retained,
    retainedWalLimit: () => facts.limit,
    reconnects: () => facts.reconnects,
    observe: (observer) => hook.add(observer),
  };
  const watch = { [internals]: { version: internalsVersion, measurements } } as unknown as SlotWatch;
  return { facts, watch, ...dispatching({ hook, bury: () => Promise.resolve() }) };
}

/** The lines that Prometheus would read, without comments, buckets, and zeros of other states. */
async function scrape(registry: promClient.Registry): Promise<Record<string, number>> {
  const lines = (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))])); // prettier-ignore
}

const subscription = (handler: () => unknown, more = {}, filter?: number) =>
  new ActiveSubscription({ name: 'users:updated', remove: () => {} }, filter, handler, settingsOf(more));

test('the state of a watch is read at each scrape', async () => {
  const registers = [new promClient.Registry()];
  const { facts, watch } = measured();
  collectMetrics(watch, promClient, { registers });
  expect(await scrape(registers[0]!)).toMatchObject({
    'walwatch_handlers_in_flight{slot="worker"}': 2,
    'walwatch_undelivered_bytes{slot="worker"}': 300,
    'walwatch_receiving_bytes{slot="worker"}': 0,
    'walwatch_lag_bytes{slot="worker"}': 4096,
    'walwatch_lag_seconds{slot="worker"}': 1.5,
    'walwatch_retained_wal_bytes{slot="worker"}': 5000,
    'walwatch_confirmed_lsn{slot="worker"}': 2 ** 32 + 16,
    'walwatch_reconnects_total{slot="worker"}': 0,
    'walwatch_state{slot="worker",state="streaming"}': 1,
    'walwatch_state{slot="worker",state="failed"}': 0,
  });
  const receiving = { xid: 7, committedAt: new Date(), changes: 3, bytes: 700 };
  Object.assign(facts, { status: { ...facts.status, receiving, state: 'failed' }, lag: 60, limit: 1e9, reconnects: 3 });
  for (let times = 0; times < 2; times++) {
    expect(await scrape(registers[0]!)).toMatchObject({
      'walwatch_receiving_bytes{slot="worker"}': 700,
      'walwatch_lag_seconds{slot="worker"}': 60,
      'walwatch_retained_wal_limit_bytes{slot="worker"}': 1e9,
      'walwatch_reconnects_total{slot="worker"}': 3,
      'walwatch_state{slot="worker",state="streaming"}': 0,
      'walwatch_state{slot="worker",state="failed"}': 1,
    });
  }
});

test('unknown values are missing, rather than 0', async () => {
  const registers = [new promClient.Registry()];
  const { facts, watch } = measured();
  Object.assign(facts, { status: { slot: 'worker', state: 'idle', running: 0 }, lag: undefined, retained: undefined });
  collectMetrics(watch, promClient, { registers });
  const names = Object.keys(await scrape(registers[0]!));
  expect(names.filter((name) => /lag|retained|confirmed/.test(name))).toEqual([]);
});

test('handlers are counted and timed by watcher', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0);
  const registers = [new promClient.Registry()];
  const { watch, send } = measured();
  collectMetrics(watch, promClient, { registers });
  const slow = deferred();
  const results = [() => {}, () => slow.promise, () => Promise.reject(new Error('once')), () => {}];
  const one = subscription(() => results.shift()!());
  for (const id of ['1', '2', '3']) send(one, id);
  await vi.advanceTimersByTimeAsync(2000);
  slow.resolve();
  await vi.advanceTimersByTimeAsync(1000);
  const labels = 'slot="worker",watcher="users:updated",subscription=""';
  const found = await scrape(registers[0]!);
  expect(found).toMatchObject({
    [`walwatch_events_total{${labels}}`]: 3,
    [`walwatch_retries_total{${labels}}`]: 1,
    [`walwatch_dead_letters_total{${labels}}`]: 0,
    [`walwatch_skipped_events_total{${labels}}`]: 0,
    [`walwatch_handler_duration_seconds_count{${labels}}`]: 4,
    [`walwatch_handler_duration_seconds_sum{${labels}}`]: 2,
    [`walwatch_handler_duration_seconds_bucket{le="1",${labels}}`]: 3,
    [`walwatch_handler_duration_seconds_bucket{le="2.5",${labels}}`]: 4,
  });
});

test('skipped events and dead letters are counted separately', async () => {
  const registers = [new promClient.Registry()];
  const { watch, send } = measured();
  collectMetrics(watch, promClient, { registers });
  const fails = () => Promise.reject(new Error('broken'));
  for (const then of ['skip', 'deadLetter'] as const)
    send(subscription(fails, { name: then, onError: { attempts: 1, then } }), '1');
  await vi.advanceTimersByTimeAsync(0);
  expect(await scrape(registers[0]!)).toMatchObject({
    'walwatch_skipped_events_total{slot="worker",watcher="users:updated",subscription="skip"}': 1,
    'walwatch_dead_letters_total{slot="worker",watcher="users:updated",subscription="deadLetter"}': 1,
    'walwatch_events_total{slot="worker",watcher="users:updated",subscription="skip"}': 0,
  });
});

test('thousands of subscriptions by id are one time series, those with a name have their own', async () => {
  const registers = [new promClient.Registry()];
  const { watch, send } = measured();
  collectMetrics(watch, promClient, { registers });
  for (let id = 0; id < 5000; id++) send(subscription(() => {}, {}, id), String(id)); // prettier-ignore
  send(subscription(() => {}, { name: 'mailer' }), '1'); // prettier-ignore
  const events = Object.entries(await scrape(registers[0]!)).filter(([name]) =>
    name.startsWith('walwatch_events_total'),
  );
  expect(events).toEqual([
    ['walwatch_events_total{slot="worker",watcher="users:updated",subscription=""}', 5000],
    ['walwatch_events_total{slot="worker",watcher="users:updated",subscription="mailer"}', 1],
  ]);
});

describe('several watches', () => {
  test('share the metrics of a registry, with slot as the label', async () => {
    const registers = [new promClient.Registry()];
    const [first, second] = [measured('first'), measured('second')];
    for (const { watch } of [first, second, first]) collectMetrics(watch, promClient, { registers });
    first.send(subscription(() => {}), '1'); // prettier-ignore
    second.facts.status = { ...second.facts.status, state: 'stopped' };
    const found = await scrape(registers[0]!);
    expect(found).toMatchObject({
      'walwatch_events_total{slot="first",watcher="users:updated",subscription=""}': 1,
      'walwatch_lag_bytes{slot="first"}': 4096,
      'walwatch_reconnects_total{slot="second"}': 0,
    });
    expect(Object.keys(found)).not.toContain('walwatch_lag_bytes{slot="second"}');
  });

  test('are collected again after the registry was cleared, and by several registries', async () => {
    const registers = [new promClient.Registry(), new promClient.Registry()];
    const { watch } = measured();
    collectMetrics(watch, promClient, { registers });
    registers[0]!.clear();
    collectMetrics(watch, promClient, { registers: [registers[0]!] });
    for (const registry of registers) expect(await scrape(registry)).toHaveProperty(['walwatch_lag_bytes{slot="worker"}'], 4096); // prettier-ignore
  });
});

test('use the default registry of prom-client when none is given', async () => {
  try {
    collectMetrics(measured().watch, promClient);
    expect(await scrape(promClient.register)).toHaveProperty(['walwatch_lag_bytes{slot="worker"}'], 4096);
  } finally {
    promClient.register.clear();
  }
});

test('names, types and help texts satisfy a Prometheus linter', async () => {
  const registry = new promClient.Registry();
  collectMetrics(measured().watch, promClient, { registers: [registry] });
  const metrics = await registry.getMetricsAsJSON();
  for (const { name, type, help } of metrics as unknown as { name: string; type: string; help: string }[]) {
    expect(name).toMatch(/^walwatch_[a-z_]+$/);
    expect(name.endsWith('_total')).toBe(type === 'counter');
    expect(help).not.toBe('');
  }
  expect(metrics).toHaveLength(15);
});

test('an invalid watch, prom-client or registry is refused, with all mistakes at once', () => {
  const wrong = () => collectMetrics({} as SlotWatch, { Counter: 1 }, { registers: [{}] });
  expect(wrong).toThrow(
    expect.objectContaining({ code: 'CONFIGURATION', issues: expect.objectContaining({ length: 3 }) }),
  );
});
