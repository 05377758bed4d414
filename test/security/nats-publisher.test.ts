/** Publishers and administrators of the broker can neither lose events silently nor stop a group. */
import { expect, onTestFinished, test } from 'vitest';
import { defineWatchers, type Watch, type WatchError } from '../../src/index.ts';
import { connectTo, startBroker } from '../support/broker.ts';
import type { RemoteWatchOptions } from '../../src/nats/index.ts';
import { useNats } from '../support/nats.ts';
import { type EventStream, eventStream } from '../support/publishing.ts';
import { deleteLater, remoteOf } from '../support/relaying.ts';
import { deferred, until } from '../support/until.ts';
import { slotName } from '../support/watching.ts';

const nats = useNats();
const watchers = defineWatchers<{ jobs: { id: number } }>()([['jobs', 'inserted']]);
const large = 'x'.repeat(900_000);

async function setting() {
  const connection = await nats.connect();
  const stream = slotName();
  deleteLater(connection, stream);
  const events = await eventStream(connection, stream);
  /** One process of a group, or without `durable` a process without a group. */
  const watch = async (options: Partial<RemoteWatchOptions> = { durable: 'mailer' }) => {
    const warnings: WatchError[] = [];
    const gaps: string[] = [];
    const heard: number[] = [];
    const remote = remoteOf({ connection: await nats.connect(), stream, ...options, watchers }, warnings);
    remote.on('gap', ({ reason }) => gaps.push(reason));
    return { remote, warnings, gaps, heard };
  };
  return { ...events, watch, connection };
}

const listen = ({ remote, heard }: { remote: Watch<typeof watchers>; heard: number[] }) =>
  remote.subscribe('jobs:inserted', ({ id }) => void heard.push(id));

/** Waits until the process requests no more messages. */
const paused = ({ manager, stream }: EventStream, delivered: number) =>
  until(
    async () => {
      const [info] = await manager.consumers.list(stream).next();
      return info && info.num_waiting === 0 && info.delivered.consumer_seq >= delivered;
    },
    { describe: 'reading to pause' },
  );

test('malformed messages do not stop a group: they become dead letters with their bytes', async () => {
  const { watch, forge, write, letters, open } = await setting();
  const members = [await watch(), await watch()];
  for (const member of members) {
    listen(member);
    await member.remote.start();
  }
  const broken = [
    'hello', '', 'null', '[]', '{}', '{"version":1}', '{"version":"1","eventId":"x"}',
    '{"version":1,"watcher":"jobs:inserted","type":"inserted","schema":"public","table":"jobs","primaryKey":5,"types":{},"eventId":"0/1/0","commitLsn":"0/1","ordinal":0,"xid":1,"committedAt":"2026-01-01","event":{}}',
    `{"version":1,"eventId":"0/1/0","event":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
  ]; // prettier-ignore
  for (const payload of broken) await forge('jobs:inserted', payload);
  await forge('jobs:inserted', Uint8Array.of(0xff, 0xfe));
  await write('jobs:inserted', 7);
  await until(async () => (await open('mailer')) === 0, { describe: 'all to be settled' });
  expect(members.flatMap(({ heard }) => heard)).toEqual([7]);
  expect(members.map(({ remote }) => remote.status().state)).toEqual(['streaming', 'streaming']);
  const found = await letters();
  expect(found).toHaveLength(broken.length + 1);
  expect(found.map(({ payload }) => Buffer.from(payload as string, 'base64').toString('latin1')).toSorted()).toEqual(
    [...broken, '\xff\xfe'].toSorted(),
  );
  expect(members.flatMap(({ warnings }) => warnings.map(({ code }) => code))).toEqual(
    Array.from({ length: broken.length + 1 }, () => 'PROTOCOL'),
  );
});

test('a message of a newer version ends a watch that cannot read it, and is not lost', async () => {
  const { watch, forge, open } = await setting();
  const member = await watch();
  await member.remote.start();
  await forge('jobs:inserted', '{"version":2}');
  await expect(member.remote.closed).rejects.toThrow(/messages of format version 2/);
  expect(await open('mailer')).toBe(1);
});

test('messages purged while no process of a group runs are reported once, by the next process', async () => {
  const { watch, writeMany, manager, stream } = await setting();
  const first = await watch();
  await first.remote.start();
  await first.remote.stop();
  await writeMany('jobs:inserted', 20);
  await manager.streams.purge(stream);
  const second = await watch();
  await second.remote.start();
  expect(second.gaps).toEqual([expect.stringContaining('20 messages from 1 to 20') as string]);
  expect(second.warnings.map(({ message }) => message)).toEqual([expect.stringContaining('missed') as string]);
  await second.remote.stop();
  const third = await watch();
  await third.remote.start();
  expect(third.gaps).toEqual([]);
});

test('messages purged while all processes of a group are busy are reported at once by one of them', async () => {
  const { writeMany, manager, stream, watch, write } = await setting();
  const members = [await watch(), await watch()];
  const finish = deferred();
  for (const { remote, heard } of members) {
    remote.subscribe('jobs:inserted', async ({ id }) => {
      await finish.promise;
      heard.push(id);
    });
    await remote.start();
  }
  await writeMany('jobs:inserted', 2000);
  await until(() => members.every(({ remote }) => remote.status().running > 0), { describe: 'both to be busy' });
  await manager.streams.purge(stream);
  await until(() => members.some(({ gaps }) => gaps.length > 0), { describe: 'a gap' });
  expect(members.flatMap(({ gaps }) => gaps)[0]).toMatch(/2000 messages from 1 to 2000/);
  finish.resolve();
  await write('jobs:inserted', 3000);
  await until(() => members.some(({ heard }) => heard.includes(3000)), { describe: 'the next event' });
});

test('messages purged before a slow watch without a group has read them are reported', async () => {
  const events = await setting();
  const { write, manager, stream, watch } = events;
  const { remote, gaps, heard } = await watch({});
  const finish = deferred();
  remote.subscribe(
    'jobs:inserted',
    async ({ id }) => {
      await finish.promise;
      heard.push(id);
    },
    { concurrency: 100 },
  );
  await remote.start();
  for (let id = 1; id <= 60; id++) await write('jobs:inserted', id, { note: large });
  await paused(events, 18);
  await manager.streams.purge(stream);
  finish.resolve();
  await write('jobs:inserted', 61);
  await until(() => heard.includes(61) && gaps.length > 0, { describe: () => `a gap; received ${heard.length}` });
  expect(gaps).toEqual([expect.stringContaining(`${61 - heard.length} messages from ${heard.length} to 60`) as string]);
});

test('messages deleted from the middle of a stream before they are read are reported', async () => {
  const { watch, writeMany, manager, stream } = await setting();
  const first = await watch();
  await first.remote.start();
  await first.remote.stop();
  await writeMany('jobs:inserted', 10);
  await manager.streams.deleteMessage(stream, 4);
  await manager.streams.deleteMessage(stream, 6);
  const second = await watch();
  listen(second);
  await second.remote.start();
  await until(() => second.gaps.length > 0, { describe: 'a gap' });
  expect(second.gaps).toEqual([expect.stringContaining('2 messages from 4 to 6') as string]);
  expect(second.heard).toEqual([1, 2, 3, 5, 7, 8, 9, 10]);
});

test.each(['while it is connected', 'while it is not'])(
  'the consumer of a group is deleted %s: it is re-created at the position of the group',
  async (when) => {
    const { writeMany, manager, stream, watch, open } = await setting();
    const member = await watch();
    listen(member);
    await member.remote.start();
    await writeMany('jobs:inserted', 5);
    await until(async () => (await open('mailer')) === 0, { describe: 'five events' });
    if (when === 'while it is not') await member.remote.stop();
    await manager.consumers.delete(stream, 'mailer');
    await writeMany('jobs:inserted', 25, 6);
    const next = when === 'while it is not' ? await watch() : member;
    if (next !== member) {
      listen(next);
      await next.remote.start();
    }
    await until(() => next.heard.includes(25), { describe: 'the last event' });
    expect(new Set([...member.heard, ...next.heard]).size).toBe(25);
    expect(next.gaps).toEqual([]);
  },
);

test('a group reports a consumer that somebody re-created after unread messages', async () => {
  const { writeMany, manager, stream, watch } = await setting();
  const first = await watch();
  await first.remote.start();
  await first.remote.stop();
  const { config } = await manager.consumers.info(stream, 'mailer');
  await manager.consumers.delete(stream, 'mailer');
  await writeMany('jobs:inserted', 20);
  await manager.consumers.add(stream, { ...config, opt_start_seq: 21 });
  const second = await watch();
  await second.remote.start();
  expect(second.gaps).toEqual([expect.stringMatching(/20 messages from 1 to 20.*consumer was deleted/) as string]);
});

test('a stream re-created while no process of a group runs is reported, and read from its beginning', async () => {
  const { writeMany, manager, stream, watch, make } = await setting();
  const first = await watch();
  await first.remote.start();
  await first.remote.stop();
  await manager.streams.delete(stream);
  await make();
  await writeMany('jobs:inserted', 5);
  const second = await watch();
  listen(second);
  await second.remote.start();
  await until(() => second.heard.length === 5, { describe: 'its events' });
  expect(second.gaps).toEqual([expect.stringContaining('deleted and re-created') as string]);
});

test.each(['mailer', undefined])(
  'messages of the largest size wait in the broker while a handler is slow (%s)',
  async (durable) => {
    const events = await setting();
    const connection = await nats.connect();
    const { remote, heard } = await events.watch({ connection, ...(durable !== undefined && { durable }) });
    const finish = deferred();
    remote.subscribe('jobs:inserted', async ({ id }) => {
      await finish.promise;
      heard.push(id);
    });
    await remote.start();
    for (let id = 1; id <= 100; id++) await events.write('jobs:inserted', id, { note: large });
    await paused(events, 18);
    expect(connection.stats().inBytes).toBeLessThan(28_000_000);
    finish.resolve();
    await until(() => heard.length === 100, { describe: () => `all events; so far ${heard.length}` });
  },
);

test('the dead letter of an event of nearly max_payload names the cut values', async () => {
  await using broker = await startBroker({ config: 'max_payload: 65536' });
  const connection = await connectTo(broker.url);
  onTestFinished(() => connection.close());
  const { write, letters, open, forge } = await eventStream(connection, 'accounts');
  const warnings: WatchError[] = [];
  const remote = remoteOf(
    {
      connection, stream: 'accounts', durable: 'mailer', onError: { attempts: 1, then: 'deadLetter' },
      watchers: defineWatchers([['jobs', 'inserted', { extraColumns: ['note', 'quotes'] }]]),
    }, // prettier-ignore
    warnings,
  );
  remote.subscribe('jobs:inserted', () => {
    throw new Error('never '.repeat(20_000));
  });
  await remote.start();
  await write('jobs:inserted', 1, { note: 'x'.repeat(32_000), quotes: '"'.repeat(16_000) });
  await forge('jobs:inserted', 'y'.repeat(65_000));
  await until(async () => (await open('mailer')) === 0, { describe: () => `all to be settled; ${String(warnings)}` });
  const [event, raw] = (await letters()).toSorted((one) => ('event' in one ? -1 : 1));
  expect(event).toMatchObject({ event: { id: '1' }, context: { shortened: { note: 32_000 } } });
  expect(raw).toMatchObject({ shortened: { payload: 65_000 } });
});
