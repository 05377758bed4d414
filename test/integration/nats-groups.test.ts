/** Groups with processes of different versions, or with a process that crashes. */
import { AckPolicy } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { expect, onTestFinished, test } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { createRemoteWatch, type RemoteWatchOptions } from '../../src/nats/index.ts';
import { filtersOf } from '../../src/nats/shared-consumer.ts';
import { useNats } from '../support/nats.ts';
import { eventStream } from '../support/publishing.ts';
import { deleteLater, remoteOf } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { slotName } from '../support/watching.ts';

const nats = useNats();
type Tables = { jobs: { id: number } };
const older = defineWatchers<Tables>()([['jobs', 'inserted']]);
const newer = defineWatchers<Tables>()([['jobs', 'inserted'], ['jobs', 'deleted']]); // prettier-ignore

async function setting() {
  const connection = await nats.connect();
  const stream = slotName();
  deleteLater(connection, stream);
  const events = await eventStream(connection, stream);
  const heard: string[] = [];
  const member = async (watchers: typeof older | typeof newer, by: string) => {
    const remote = remoteOf({ connection: await nats.connect(), stream, watchers, durable: 'mailer' });
    remote.subscribe('jobs:inserted', ({ id }) => void heard.push(`${by} +${id}`));
    if (watchers === newer)
      (remote as ReturnType<typeof remoteOf<typeof newer>>).subscribe('jobs:deleted', ({ id }) => void heard.push(`${by} -${id}`)); // prettier-ignore
    await remote.start();
    return remote;
  };
  return { ...events, member, heard };
}

test('in a rolling deploy and rollback, events of a new watcher go to processes that have it, and none is lost', async () => {
  const { member, heard, write, open, manager, stream } = await setting();
  const old = await member(older, 'old');
  const one = await member(newer, 'new');
  const late = await member(older, 'late'); // an old process restarts
  const wide = filtersOf((await manager.consumers.info(stream, 'mailer')).config);
  for (let id = 1; id <= 20; id++) {
    await write('jobs:inserted', id);
    await write('jobs:deleted', id);
  }
  await until(async () => (await open('mailer')) === 0, {
    describe: () => `all; so far ${heard.join()}`,
    timeout: 40_000,
  });
  expect(heard.filter((line) => line.includes('-')).toSorted()).toEqual(Array.from({ length: 20 }, (_, index) => `new -${index + 1}`).toSorted()); // prettier-ignore
  expect(heard.filter((line) => line.includes('+'))).toHaveLength(20);
  await old.stop();
  await late.stop();
  expect(filtersOf((await manager.consumers.info(stream, 'mailer')).config)).toEqual(wide);
  await write('jobs:deleted', 21);
  await until(() => heard.includes('new -21'), { describe: 'the event of the new watcher' });
  // The rollback: events of the new watcher wait until a new process runs again.
  await one.stop();
  const again = await member(older, 'again');
  await write('jobs:deleted', 22);
  await until(async () => (await manager.consumers.info(stream, 'mailer')).num_redelivered > 0, { describe: 'it to be given back' }); // prettier-ignore
  await member(newer, 'forth');
  await until(() => heard.includes('forth -22'), { describe: 'it to arrive', timeout: 40_000 });
  await again.stop();
});

test('a group restores the filter of its consumer after somebody narrowed it, and reports a gap', async () => {
  const { member, manager, stream } = await setting();
  const one = await member(newer, 'new');
  const gaps: string[] = [];
  one.on('gap', ({ reason }) => gaps.push(reason));
  await manager.consumers.update(stream, 'mailer', { filter_subject: `walwatch.${stream}.jobs:inserted.>`, filter_subjects: undefined } as never); // prettier-ignore
  await until(() => gaps.length > 0, { describe: 'a gap' });
  expect(gaps[0]).toMatch(/changed the filter of the consumer/);
});

test('a handler that crashes its process is not called forever: its event becomes a dead letter, other events do not', async () => {
  const { write, open, letters, manager, stream } = await setting();
  await manager.consumers.add(stream, {
    durable_name: 'mailer',
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(500),
  });
  for (let id = 1; id <= 3; id++) await write('jobs:inserted', id);
  const called: number[] = [];
  const handled: number[] = [];
  const warnings: WatchError[] = [];
  for (let process = 1; process <= 6 && handled.length < 2; process++) {
    const connection = await nats.connect();
    const options: RemoteWatchOptions<typeof older> = {
      connection, stream, watchers: older, durable: 'mailer', onError: { attempts: 2, then: 'deadLetter' },
    }; // prettier-ignore
    const remote = createRemoteWatch(options);
    remote.on('warning', (warning) => warnings.push(warning));
    remote.on('error', () => {});
    onTestFinished(() => remote.stop());
    let dead = false;
    remote.subscribe('jobs:inserted', async ({ id }) => {
      called.push(id);
      if (id !== 1) {
        handled.push(id);
        return;
      }
      dead = true;
      await connection.close(); // like the end of the process
      await new Promise(() => {});
    });
    await remote.start();
    await until(() => dead || handled.length === 2, { describe: 'the handler' });
  }
  await until(async () => (await open('mailer')) === 0, { describe: 'all to be settled' });
  expect(called.filter((id) => id === 1)).toHaveLength(3); // as in the worker: the first is not noted
  expect(handled).toEqual([2, 3]);
  expect(await letters()).toMatchObject([{ event: { id: '1' }, attempts: 2, error: expect.stringContaining('ended before the handler finished') as string }]); // prettier-ignore
});

test('giving an event back many times uses up no attempt', async () => {
  const { write, open, heard, member, letters, stream } = await setting();
  const blocked = async () => {
    const remote = remoteOf({ connection: await nats.connect(), stream, watchers: older, durable: 'mailer', onError: { attempts: 1, then: 'deadLetter' } }); // prettier-ignore
    let begun = 0;
    const gate = { open: () => {} };
    remote.subscribe('jobs:inserted', () => new Promise<void>((resolve) => (begun++, (gate.open = resolve))));
    await remote.start();
    await until(() => begun > 0, { describe: 'the first event' });
    const stopping = remote.stop();
    gate.open();
    await stopping;
  };
  await (await member(older, 'first')).stop();
  for (let id = 1; id <= 6; id++) await write('jobs:inserted', id);
  for (let times = 1; times <= 4; times++) await blocked();
  await member(older, 'last');
  await until(async () => (await open('mailer')) === 0, { describe: 'all to be settled' });
  expect(heard).toEqual(['last +5', 'last +6']);
  await expect(letters()).rejects.toThrow(/not found/);
});

test('settings of a consumer created by hand are refused if they would lose events', async () => {
  for (const [config, message] of [
    [{ max_deliver: 3 }, /after 3 deliveries/],
    [{ headers_only: true }, /no values/],
    [{ inactive_threshold: nanos(60_000) }, /deleted after 60 s without a reader/],
    [{ mem_storage: true }, /loses its position/],
  ] as const) {
    const { member, manager, stream } = await setting();
    await manager.consumers.add(stream, { durable_name: 'mailer', ack_policy: AckPolicy.Explicit, ...config });
    await expect(member(older, 'one')).rejects.toThrow(message);
  }
});

// nats-server before 2.9.15 crashes when it is asked for a message of a stream that another process is creating.
test('the first process of a group asks for a note only after it has written one', async () => {
  const { member, stream } = await setting();
  const observer = await nats.connect();
  const requests: string[] = [];
  observer.subscribe('$JS.API.>', { callback: (_, { subject }) => void requests.push(subject) });
  await observer.flush();
  await member(older, 'one');
  await observer.flush();
  const made = requests.indexOf(`$JS.API.STREAM.CREATE.${stream}_groups`);
  expect(made).toBeGreaterThan(0);
  expect(requests.indexOf(`$JS.API.STREAM.MSG.GET.${stream}_groups`)).toBeGreaterThan(made);
});
