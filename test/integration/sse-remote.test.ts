/** `sse()` with a remote watch: in another process than the worker. */
import { jetstreamManager } from '@nats-io/jetstream';
import { expect, onTestFinished, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { relay } from '../../src/nats/index.ts';
import { streamConfig } from '../../src/nats/stream.ts';
import { sse } from '../../src/sse/index.ts';
import { useDatabase } from '../support/database.ts';
import { openStream } from '../support/event-stream.ts';
import { useNats } from '../support/nats.ts';
import { deleteLater, remoteOf } from '../support/relaying.ts';
import { slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const nats = useNats();
const watchOf = watchOn(db);

test('browsers receive the events of a remote watch, resume where they were, and load again when events were missed', async () => {
  await db.sql('create table shown (id int primary key, role_id int); alter table shown replica identity full');
  const watchers = defineWatchers<{ shown: { id: number; role_id: number } }>()([
    ['shown', 'inserted', { extraColumns: ['role_id'] }],
    ['shown', 'updated', { extraColumns: ['role_id'] }],
  ]);
  const slot = slotName();
  const worker = watchOf(watchers, { slot });
  const connection = await nats.connect();
  deleteLater(connection, slot);
  relay(worker, { connection, stream: slot });
  await worker.start();
  const remote = remoteOf({ connection: await nats.connect(), stream: slot, watchers });
  await remote.start();

  const handler = sse(remote, { authorize: () => true });
  const wanted = [['shown:inserted'], ['shown:updated', { role_id: 7 }]];
  const first = await openStream(handler, wanted);
  await db.sql('insert into shown values (1, 7), (2, 8)');
  await db.sql('update shown set role_id = 9');
  await first.has(({ data }) => data.includes('shown:updated'));
  expect(first.changes.map(({ watcher, event }) => [watcher, event.id])).toEqual([
    ['shown:inserted', 1],
    ['shown:inserted', 2],
    ['shown:updated', 1], // it left 7
  ]);
  const { lastEventId } = first.parser;
  await first.close();

  await db.sql('insert into shown values (3, 7)');
  const second = await openStream(handler, wanted, { lastEventId });
  onTestFinished(() => second.close());
  await second.has(({ data }) => data.includes('"id":3'));
  expect(second.messages.filter(({ type }) => type === 'reset')).toEqual([]);
  expect(second.changes.map(({ event }) => event.id)).toEqual([3]);

  // The stream is lost with unknown contents, so pages load again.
  const manager = await jetstreamManager(connection);
  await manager.streams.delete(slot);
  await manager.streams.add(streamConfig(slot, slot, 1));
  await second.has(({ type }) => type === 'reset');
});
