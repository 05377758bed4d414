/** The permissions that docs/reference/nats.md lists suffice, and without them errors name the missing permission. */
import { jetstreamManager } from '@nats-io/jetstream';
import { expect, onTestFinished, test, vi } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { relay } from '../../src/nats/index.ts';
import { connectTo, startBroker } from '../support/broker.ts';
import { useDatabase } from '../support/database.ts';
import { remoteOf } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

/** As in docs/reference/nats.md. */
const permissions = (stream: string, slot: string) => ({
  worker: [`walwatch.${slot}.>`, `$JS.API.STREAM.INFO.${stream}`, `$JS.API.STREAM.CREATE.${stream}`],
  reader: [
    `$JS.API.STREAM.INFO.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}`,
    `$JS.API.CONSUMER.*.${stream}.>`,
    `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.>`,
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.>`,
    `$JS.ACK.${stream}.>`,
    `walwatch_dead_letters.${slot}.>`,
    `$JS.API.STREAM.*.${stream}_dead_letters`,
    `walwatch_groups.${slot}.>`,
    `$JS.API.STREAM.*.${stream}_groups`,
    `$JS.API.STREAM.MSG.GET.${stream}_groups`,
  ],
});

test('the documented permissions are enough for worker and readers, and each of them is needed', async () => {
  await db.sql('create table guarded (id int primary key)');
  const stream = slotName();
  const { worker: write, reader: read } = permissions(stream, stream);
  const user = (name: string, publish: readonly string[]) =>
    `{ user: ${name}, password: secret, permissions: { publish: ${JSON.stringify(publish)}, subscribe: ["_INBOX.>"] } }`;
  await using broker = await startBroker({
    config: `authorization { users: [ ${user('worker', write)}, ${user('reader', read)}, ${user('stranger', ['nothing'])},
      { user: any, password: any } ] }\nno_auth_user: any`,
  });
  const connectAs = async (name: string) => {
    const connection = await connectTo(broker.url, { user: name, pass: 'secret' });
    onTestFinished(() => connection.close());
    return connection;
  };
  // The second one widens the filter of the group's consumer.
  const watchers = defineWatchers([
    ['guarded', 'inserted'],
    ['guarded', 'deleted'],
  ]);
  const worker = watchOf(watchers, { slot: stream });
  relay(worker, { connection: await connectAs('worker'), stream });
  await worker.start();
  const heard: string[] = [];
  const failures: unknown[] = [];
  for (const durable of [undefined, 'mailer']) {
    const remote = remoteOf({
      connection: await connectAs('reader'),
      stream,
      watchers,
      onError: { attempts: 1, then: 'deadLetter' },
      ...(durable !== undefined && { durable }),
    });
    remote.on('disconnected', ({ error }) => failures.push(error));
    remote.on('warning', (warning) => failures.push(warning));
    remote.subscribe('guarded:inserted', ({ id }) => {
      heard.push(`${durable ?? 'live'} ${String(id)}`);
      if (id === 2) throw new Error('buried');
    });
    await until(() => worker.status().state === 'streaming', { describe: 'the worker' });
    await remote.start();
  }
  await db.sql('insert into guarded values (1), (2), (3)');
  await settled(db, worker);
  await until(() => heard.length === 6, { describe: () => `six events; so far ${heard.join()}; ${String(failures)}` });
  expect(failures.filter((failure) => (failure as WatchError).code === 'PERMISSION')).toEqual([]);
  expect(heard.toSorted()).toEqual(['live 1', 'live 2', 'live 3', 'mailer 1', 'mailer 2', 'mailer 3']);

  const stranger = remoteOf({ connection: await connectAs('stranger'), stream, watchers });
  await expect(stranger.start()).rejects.toMatchObject({
    code: 'PERMISSION',
    message: expect.stringContaining('$JS.API.STREAM.INFO') as string,
  });

  await worker.stop();
  const next = watchOf(watchers, { slot: stream, stopTimeout: 100 });
  relay(next, { connection: await connectAs('reader'), stream });
  const warnings: string[] = [];
  next.on('warning', ({ message }) => warnings.push(message));
  await next.start();
  await db.sql('insert into guarded values (4)');
  await until(() => warnings.length > 0, { describe: 'a warning' });
  expect(warnings[0]).toMatch(
    /events cannot be published and the slot does not advance.*permissions violation.*guarded:inserted\.4/i,
  );
});

test('answers use the inbox prefix of the connection; without it the missing permission is reported, and the connection still works', async () => {
  await db.sql('create table boxed (id int primary key)');
  const stream = slotName();
  await using broker = await startBroker({
    config: `authorization { users: [
      { user: boxed, password: secret, permissions: { publish: [">"], subscribe: ["_INBOX_boxed.>", "orders"] } },
      { user: any, password: any } ] }\nno_auth_user: any`,
  });
  const connectWith = async (options: object) => {
    const connection = await connectTo(broker.url, { user: 'boxed', pass: 'secret', ...options });
    onTestFinished(() => connection.close());
    return connection;
  };
  const watchers = defineWatchers([['boxed', 'inserted']]);
  const boxed = await connectWith({ inboxPrefix: '_INBOX_boxed' });
  const worker = watchOf(watchers, { slot: stream });
  relay(worker, { connection: boxed, stream });
  await worker.start();
  await until(() => worker.status().state === 'streaming', { describe: 'the worker' });
  await db.sql('insert into boxed values (1)');
  await settled(db, worker);
  const heard: unknown[] = [];
  for (const durable of [undefined, 'mailer']) {
    const remote = remoteOf({ connection: boxed, stream, watchers, ...(durable !== undefined && { durable }) });
    remote.subscribe('boxed:inserted', ({ id }) => void heard.push(id));
    await remote.start();
  }
  await db.sql('insert into boxed values (2)');
  await until(() => heard.length === 2, { describe: 'both' });
  await worker.stop();

  const plain = await connectWith({});
  const orders: string[] = [];
  plain.subscribe('orders', { callback: (_, message) => void orders.push(message.string()) });
  const next = watchOf(watchers, { slot: stream, stopTimeout: 100 });
  relay(next, { connection: plain, stream });
  const warnings: { code: string; message: string; solution: string | undefined }[] = [];
  next.on('warning', (warning) => warnings.push(warning));
  await next.start();
  await db.sql('insert into boxed values (3)');
  await until(() => warnings.length > 0, { describe: 'a warning' });
  expect(warnings[0]).toMatchObject({
    code: 'PERMISSION',
    message: expect.stringMatching(/Subscription to "_INBOX\..*"/i) as string,
    solution: expect.stringMatching(/subscribe: \["_INBOX\.>"\].*inboxPrefix/) as string,
  });
  boxed.publish('orders', 'still there');
  await until(() => orders.length === 1, { describe: 'the other subscription' });

  const remote = remoteOf({ connection: plain, stream, watchers });
  await expect(remote.start()).rejects.toMatchObject({ code: 'PERMISSION' });
});

test('JetStream is reached in its domain, and under its API prefix', async () => {
  await db.sql('create table elsewhere (id int primary key)');
  await using broker = await startBroker({ jetstream: 'domain: hub' });
  const connection = await connectTo(broker.url);
  onTestFinished(() => connection.close());
  const watchers = defineWatchers([['elsewhere', 'inserted']]);
  const requests = vi.spyOn(connection, 'publish');
  for (const place of [{ domain: 'hub' }, { apiPrefix: '$JS.hub.API' }]) {
    const stream = slotName();
    const worker = watchOf(watchers, { slot: stream });
    relay(worker, { connection, stream, ...place, limits: { maxBytes: 10_000_000, maxAge: 3_600_000 } });
    await worker.start();
    const heard: unknown[] = [];
    for (const durable of [undefined, 'mailer']) {
      const remote = remoteOf({ connection, stream, watchers, ...place, ...(durable !== undefined && { durable }) });
      remote.subscribe('elsewhere:inserted', ({ id }) => void heard.push(id));
      await remote.start();
    }
    await db.sql('insert into elsewhere values (1)');
    await until(() => heard.length === 2, { describe: 'both' });
    await db.sql('truncate elsewhere');
    expect(
      requests.mock.calls.some(([subject]) => subject.startsWith(`$JS.hub.API.CONSUMER.MSG.NEXT.${stream}.`)),
    ).toBe(true);
    const { config } = await (await jetstreamManager(connection)).streams.info(stream);
    expect(config).toMatchObject({ max_bytes: 10_000_000, max_age: 3600e9 });
    await worker.stop();
  }
});
