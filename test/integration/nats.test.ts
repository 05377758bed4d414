/** A remote watch behaves like the worker's watch. */
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ConfigurationError, defineWatchers } from '../../src/index.ts';
import { createRemoteWatch, relay } from '../../src/nats/index.ts';
import { useDatabase } from '../support/database.ts';
import { useNats } from '../support/nats.ts';
import { deleteLater, pairOn, remoteOf } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const nats = useNats();
const watchOf = watchOn(db);
const pair = pairOn(watchOf, nats);

test('details() has everything that watchers and events contain; unsubscribe(), events() and stop() work as in the worker', async () => {
  await db.sql('create table told (the_key int primary key, role int)');
  const watchers = defineWatchers([['told', 'inserted', { extraColumns: ['role'] }]]);
  const { remote, start } = await pair(watchers);
  expect(remote.details('told:inserted').primaryKey).toBeUndefined();
  await start();
  const heard: unknown[] = [];
  const handler = (event: unknown) => void heard.push(event);
  remote.subscribe('told:inserted', handler);
  await db.sql('insert into told values (1, 7)');
  await until(() => heard.length === 1, { describe: 'the first event' });
  const changes = remote.events('told:inserted', { role: 8 });
  await db.sql('insert into told values (2, 7), (3, 8)');
  const { value } = await changes.next();
  expect(value).toMatchObject({ watcher: 'told:inserted', event: { the_key: 3, role: 8 } });
  await changes.return?.();
  expect(heard).toEqual([{ the_key: 1, role: 7 }, { the_key: 2, role: 7 }, { the_key: 3, role: 8 }]); // prettier-ignore
  expect(remote.unsubscribe('told:inserted', handler)).toBe(true);
  expect(remote.unsubscribe('told:inserted', handler)).toBe(false);
  expect(remote.details('told:inserted')).toMatchObject({
    watcher: 'told:inserted', schema: 'public', table: 'told', primaryKey: ['the_key'], extraColumns: ['role'],
    columns: undefined, replicaIdentity: undefined, slot: undefined, publication: undefined,
  }); // prettier-ignore
  await remote.stop();
  await expect(remote.closed).resolves.toBeUndefined();
  expect(() => remote.subscribe('told:inserted', handler)).toThrow(expect.objectContaining({ code: 'STOPPED' }));
});

test('without a group, a failed event is reported and skipped', async () => {
  await db.sql('create table failing (id int primary key)');
  const { remote, start } = await pair(defineWatchers([['failing', 'inserted']]));
  const failures: unknown[] = [];
  const heard: unknown[] = [];
  remote.on('handlerFailed', ({ error, action, attempt }) => failures.push({ error, action, attempt }));
  remote.subscribe('failing:inserted', ({ id }) => {
    heard.push(id);
    if (id === 1) throw new Error('no');
  });
  await start();
  await db.sql('insert into failing values (1), (2)');
  await until(() => heard.length === 2, { describe: 'two events' });
  expect(failures).toEqual([{ error: new Error('no'), action: 'skip', attempt: 1 }]);
});

test('a watch that starts before the worker waits for the stream, and receives all events from then on', async () => {
  await db.sql('create table early (id int primary key)');
  const { worker, remote } = await pair(defineWatchers([['early', 'inserted']]));
  const heard: unknown[] = [];
  remote.subscribe('early:inserted', ({ id }) => void heard.push(id));
  const started = remote.start();
  await until(() => remote.status().state === 'disconnected', { describe: 'the first attempt to fail' });
  expect(remote.status().error?.message).toMatch(/the stream '\w+' does not exist/);
  await worker.start();
  await started;
  await db.sql('insert into early values (1)');
  await until(() => heard.length === 1, { describe: 'the event' });
});

test('a message that is not a walwatch event causes a warning and is skipped', async () => {
  await db.sql('create table clean (id int primary key)');
  const { remote, stream, connection, warnings, start } = await pair(defineWatchers([['clean', 'inserted']]));
  const heard: unknown[] = [];
  remote.subscribe('clean:inserted', ({ id }) => void heard.push(id));
  await start();
  await jetstream(connection).publish(`walwatch.${stream}.clean:inserted.x`, 'hello');
  await db.sql('insert into clean values (1)');
  await until(() => heard.length === 1, { describe: 'the event after it' });
  expect(warnings.map(({ code }) => code)).toEqual(['PROTOCOL']);
});

test('a stream without a slot, and filters that do not fit the key, end the watch', async () => {
  const connection = await nats.connect();
  const name = slotName();
  deleteLater(connection, name);
  await (await jetstreamManager(connection)).streams.add({ name, subjects: [`${name}.>`] });
  const watchers = defineWatchers([['clean', 'updated']]);
  const lost = remoteOf({ connection, stream: name, watchers });
  await expect(lost.start()).rejects.toThrow(/does not carry the events of a slot/);

  await db.sql('create table paired (a int, b int, primary key (a, b))');
  const { worker, remote, start } = await pair(defineWatchers([['paired', 'updated']]));
  remote.subscribe('paired:updated', 1, () => {});
  await start();
  await db.sql('insert into paired values (1, 1)');
  await db.sql('update paired set b = 2');
  await settled(db, worker);
  await expect(remote.closed).rejects.toThrow(/the primary key has 2 columns/);
});

test('relay() of another copy of the package accepts a watch of this one', async () => {
  await db.sql('create table copied (id int primary key)');
  const watchers = defineWatchers([['copied', 'inserted']]);
  const stream = slotName();
  const worker = watchOf(watchers, { slot: stream });
  const connection = await nats.connect();
  deleteLater(connection, stream);
  vi.resetModules();
  const other = await import('../../src/nats/index.ts');
  expect(other.relay).not.toBe(relay);
  other.relay(worker, { connection, stream });
  await worker.start();
  await db.sql('insert into copied values (1)');
  await settled(db, worker);
  const { state } = await (await jetstreamManager(connection)).streams.info(stream);
  expect(state.messages).toBe(1);
});

test('all wrong options are reported at once', async () => {
  const watchers = defineWatchers([['users', 'inserted']]);
  const wrong = { connection: {}, stream: 'a b', watchers, durable: 'x.y', colour: 'red' } as never;
  expect(() => createRemoteWatch(wrong)).toThrow(
    expect.objectContaining({ issues: expect.objectContaining({ length: 4 }) as unknown }),
  );
  const worker = watchOf(watchers);
  expect(() => relay(worker, { connection: {}, stream: '' })).toThrow(ConfigurationError);
  expect(() => relay({} as never, { connection: {}, stream: '' })).toThrow(/createWatch/);
  const remote = remoteOf({ connection: await nats.connect(), stream: 'none', watchers });
  onTestFinished(() => remote.stop());
  expect(() => remote.subscribe('users:inserted', () => {}, { transaction: true })).toThrow(/createWatch/);
});
