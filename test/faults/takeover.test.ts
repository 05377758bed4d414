/** A worker takes the slot from another one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { defineWatchers, type SlotWatch, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
beforeAll(() =>
  db.sql('create table entries (id int generated always as identity primary key, record int, version int)'),
);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);

const insert = async (table = 'entries') =>
  (await db.sql<{ id: number }>(`insert into ${table} default values returning id`))[0]!.id;
const listen = (watch: SlotWatch<any>, watcher = 'entries:inserted') => {
  const seen: number[] = [];
  watch.subscribe(watcher, ({ id }: any) => void seen.push(id));
  return seen;
};

test("takeover: 'terminate' ends the session of the worker that has the slot, and repeats its unhandled events", async () => {
  const slot = slotName();
  const first = watchOf(watchers, { slot, stopTimeout: 10 });
  first.subscribe('entries:inserted', () => new Promise(() => {})); // never done
  await first.start();
  const id = await insert();
  await until(() => first.status().running === 1, { describe: 'the handler' });
  const disconnected = new Promise<WatchError | undefined>((resolve) =>
    first.on('disconnected', ({ error }) => resolve(error)),
  );
  const second = watchOf(watchers, { slot: { name: slot, takeover: 'terminate' } });
  const seen = listen(second);
  await second.start();
  expect(await disconnected).toMatchObject({ code: 'CONNECTION' });
  await settled(db, second);
  expect(seen).toEqual([id]);
});

test("of two workers with takeover: 'terminate' the newer one has the slot, and the older one waits for it", async () => {
  const slot = { name: slotName(), takeover: 'terminate' } as const;
  const [older, newer] = [watchOf(watchers, { slot }), watchOf(watchers, { slot })];
  const seen = { older: listen(older), newer: listen(newer) };
  const connects = { older: 0, newer: 0 };
  older.on('connected', () => connects.older++);
  newer.on('connected', () => connects.newer++);
  await older.start();
  await newer.start();
  await until(() => older.status().state === 'standby', { describe: 'the older one to wait' });
  const looks = () =>
    db.sql<{ at: Date }>(
      `select max(query_start) as at from pg_stat_activity where application_name = $1 and query like '%active_pid%'`,
      [`walwatch/${slot.name}:control`],
    );
  const [first] = await looks();
  await until(async () => (await looks())[0]!.at > first!.at, { describe: 'the older one to look again' });
  const id = await insert();
  await settled(db, newer);
  expect([seen, connects]).toEqual([{ older: [], newer: [id] }, { older: 1, newer: 1 }]); // prettier-ignore

  await newer.stop();
  const next = await insert();
  await settled(db, older);
  expect([seen, connects]).toEqual([{ older: [next], newer: [id] }, { older: 2, newer: 1 }]); // prettier-ignore
});

test('a worker whose connection broke while its standby took over becomes the standby, instead of failing with SLOT_MOVED', async () => {
  const proxy = await startProxy(db.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const slot = slotName();
  const first = watchOf(watchers, { slot, connection: proxy.url, connectTimeout: 200 });
  await first.start();
  await settled(db, first);
  const second = watchOf(watchers, { slot });
  const seen = listen(second);
  const started = second.start();
  await until(() => second.status().state === 'standby', { describe: 'the standby' });
  proxy.behave('silent');
  proxy.reset();
  await started;
  const id = await insert();
  await settled(db, second);
  expect(seen).toEqual([id]);
  proxy.behave('forward');
  await until(() => ['standby', 'failed'].includes(first.status().state), { describe: 'the first to be back' });
  expect(first.status()).toMatchObject({ state: 'standby' });
});

test('a worker that is frozen loses the slot to its standby, once the server has given it up', async () => {
  const slot = slotName();
  const url = new URL(db.url);
  url.searchParams.set('options', '-c wal_sender_timeout=2000');
  const frozen = spawn(process.execPath, ['.build/test/programs/recorder.js', url.href, slot], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    frozen.kill('SIGKILL');
    await once(frozen, 'exit');
  });
  await once(frozen.stdout, 'data'); // it has started
  const second = watchOf(watchers, { slot });
  const seen = listen(second);
  const started = second.start();
  await until(() => second.status().state === 'standby', { describe: 'the standby' });
  frozen.kill('SIGSTOP');
  const id = await insert();
  await started;
  await settled(db, second);
  expect(seen).toEqual([id]);
});
