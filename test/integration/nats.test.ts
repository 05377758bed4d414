/** The same events, values, filters and contexts in another process as in the worker. */
import { jetstreamManager } from '@nats-io/jetstream';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import type { EventContext } from '../../src/index.ts';
import { defineWatchers, table } from '../../src/index.ts';
import { createRemoteWatch, relay } from '../../src/nats/index.ts';
import { useDatabase } from '../support/database.ts';
import { useNats } from '../support/nats.ts';
import { until } from '../support/until.ts';
import { slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const nats = useNats();
const watch = watchOn(db);

test('what is written comes to another process', async () => {
  await db.sql('create table hello (id int primary key, role_id int)');
  const watchers = defineWatchers([['hello', 'inserted', { extraColumns: ['role_id'] }], ['hello', 'updated', {extraColumns: ['role_id']}]]);
  const slot = slotName();
  const worker = watch(watchers, { slot });
  relay(worker, { connection: await nats.connect(), stream: slot });
  await worker.start();
  const remote = createRemoteWatch({ connection: await nats.connect(), stream: slot, watchers });
  const heard: unknown[] = [];
  remote.subscribe('hello:inserted', (event, context) => void heard.push(event, context.eventId));
  remote.subscribe('hello:updated', 1, (event, context) => void heard.push(event, context.previous));
  remote.on('disconnected', (e) => console.log(e));
  remote.on('warning', (e) => console.log(e));
  worker.on('warning', (e) => console.log(e));
  await remote.start();
  onTestFinished(() => remote.stop());
  await db.sql('insert into hello values (1, 2)');
  await db.sql('update hello set id = 2');
  await until(() => heard.length === 4, { describe: () => `events: ${JSON.stringify(heard)} ${JSON.stringify(worker.status())}` });
  console.log(heard);
});
