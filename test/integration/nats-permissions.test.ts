/** The permissions that docs/nats.md lists suffice, and without them errors say what is missing. */
import { expect, onTestFinished, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { relay } from '../../src/nats/index.ts';
import { connectTo, startBroker } from '../support/broker.ts';
import { useDatabase } from '../support/database.ts';
import { remoteOf } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

/** As in docs/nats.md. */
const permissions = (stream: string, slot: string) => ({
  worker: [`walwatch.${slot}.>`, `$JS.API.STREAM.INFO.${stream}`, `$JS.API.STREAM.CREATE.${stream}`],
  reader: [
    `$JS.API.STREAM.INFO.${stream}`,
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

test('worker and readers need no more than the guide says, and nothing is served without it', async () => {
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
  // The second one makes the group's consumer listen to more.
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
  expect(failures).toEqual([]);
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
  expect(warnings[0]).toMatch(/events are held back.*permissions violation.*guarded:inserted\.4/i);
});
