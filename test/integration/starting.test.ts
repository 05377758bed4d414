/** The checks of start(), and the guarantees of the lifecycle. */
import { expect, test, vi } from 'vitest';
import { ConfigurationError, createWatch, defineWatchers, table, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { deferred, until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const users = defineWatchers([['users', 'inserted']]);

test('all problems of the database are reported at once, each with its solution', async () => {
  await db.sql('create view people_view as select * from users');
  await db.sql('create unlogged table fast_rows (id int primary key)');
  await db.sql('create table keyless (a int)');
  await db.sql('create table loose (a int, b int)');
  const watch = watchOf(
    defineWatchers([
      ['nowhere', 'inserted'],
      ['users', 'inserted', { extraColumns: ['nickname'] }],
      ['users', 'updated', { label: 'email_changed', triggerColumns: ['email'] }],
      ['users', 'deleted', { extraColumns: ['role_id'] }],
      ['people_view', 'inserted'],
      ['fast_rows', 'inserted'],
      ['keyless', 'inserted'],
      [table()({ tableName: 'loose', primaryKey: 'a' }), 'inserted'],
    ]),
  );
  const error = await watch.start().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConfigurationError);
  const { issues } = error as ConfigurationError;
  expect(issues.map(({ message }) => message)).toEqual([
    expect.stringContaining('table "public"."nowhere" does not exist'),
    expect.stringContaining("has no column 'nickname'"),
    expect.stringContaining('is a view'),
    expect.stringContaining('is unlogged'),
    expect.stringContaining('has no primary key'),
    expect.stringContaining('\'a\' of "public"."loose" can be null'),
    expect.stringContaining("does not send the old value of 'email'"),
    expect.stringContaining("does not send the old value of 'role_id'"),
  ]);
  for (const { solution } of issues) expect(solution).toBeTruthy();
  expect(issues[6]!.solution).toBe('ALTER TABLE "public"."users" REPLICA IDENTITY FULL;');
  const [none] = await db.sql('select from pg_replication_slots where slot_name = $1', [watch.status().slot]);
  expect(none).toBeUndefined();
  expect(watch.status()).toMatchObject({ state: 'failed', error: { code: 'CONFIGURATION' } });
});

test('start() returns the same promise each time; stop() is idempotent; a stopped watch does not start again', async () => {
  const watch = watchOf(users);
  expect(watch.status().state).toBe('idle');
  const started = watch.start();
  expect(watch.start()).toBe(started);
  await started;
  expect(watch.status().state).toBe('streaming');
  expect(watch.stop()).toBe(watch.stop());
  await watch.stop();
  await watch.closed;
  expect(watch.status().state).toBe('stopped');
  await expect(watch.start()).rejects.toMatchObject({ code: 'STOPPED' });
  await started; // as it was before
  expect(() => watch.subscribe('users:inserted', () => {})).toThrow(expect.objectContaining({ code: 'STOPPED' }));
  expect(() => watch.events('users:inserted')).toThrow(expect.objectContaining({ code: 'STOPPED' }));
});

test('a watch that was never started can be stopped, and then does not start', async () => {
  const watch = watchOf(users);
  await watch.stop();
  await watch.closed;
  await expect(watch.start()).rejects.toMatchObject({ code: 'STOPPED' });
});

test('await using stops the watch', async () => {
  let closed: Promise<void>;
  {
    await using watch = watchOf(users);
    closed = watch.closed;
    await watch.start();
  }
  await closed;
});

test('stop() lets running handlers finish and acknowledges them, so that a clean restart repeats nothing', async () => {
  const slot = slotName();
  const first = watchOf(users, { slot });
  const running = deferred();
  const release = deferred();
  const seen: unknown[] = [];
  first.subscribe('users:inserted', async ({ id }) => {
    running.resolve();
    await release.promise;
    seen.push(id);
  });
  await first.start();
  const [one] = await db.sql(`insert into users (name) values ('one') returning id`);
  const [two] = await db.sql(`insert into users (name) values ('two') returning id`);
  await running.promise;
  const stopped = first.stop();
  expect(first.status().state).toBe('stopping');
  release.resolve();
  await stopped;
  expect(seen).toEqual([one!['id']]);

  const second = watchOf(users, { slot });
  second.subscribe('users:inserted', ({ id }) => void seen.push(id));
  await second.start();
  await settled(db, second);
  expect(seen).toEqual([one!['id'], two!['id']]);
});

test('stop() aborts the signals of handlers that run longer than stopTimeout, and closes anyway', async () => {
  const watch = watchOf(users, { stopTimeout: 20 });
  const running = deferred<AbortSignal>();
  watch.subscribe('users:inserted', (_, { signal }) => {
    running.resolve(signal);
    return new Promise(() => {}); // never
  });
  await watch.start();
  await db.sql(`insert into users (name) values ('stuck')`);
  const signal = await running.promise;
  await watch.stop();
  expect(signal.aborted).toBe(true);
  expect(signal.reason).toMatchObject({ code: 'STOPPED' });
});

test('an error that ends the watch rejects closed and start(), is passed to listeners, and is never an unhandled rejection', async () => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  try {
    const broken = defineWatchers([['nowhere', 'inserted']]);
    const awaited = watchOf(broken);
    const heard = recorder<WatchError>();
    awaited.on('error', heard);
    await expect(awaited.start()).rejects.toBeInstanceOf(ConfigurationError);
    await expect(awaited.closed).rejects.toBe(heard.all[0]);

    const quiet = watchOf(broken);
    void quiet.start();
    await until(() => warning.mock.calls.length > 0, { describe: 'the warning about the watch that is not awaited' });
    expect(warning).toHaveBeenCalledOnce();
    expect(warning).toHaveBeenCalledWith(expect.stringContaining('nowhere'), {
      type: 'WalwatchWarning',
      code: 'CONFIGURATION',
    });
    expect(process.exitCode).toBe(1);
    await expect(quiet.start()).rejects.toBe(quiet.status().error);
    expect(unhandled).not.toHaveBeenCalled();
  } finally {
    process.exitCode = undefined;
    process.off('unhandledRejection', unhandled);
    warning.mockRestore();
  }
});

test('a listener that throws does not affect others', async () => {
  const lines: string[] = [];
  const line = (_: object, message = '') => void lines.push(message);
  const watch = watchOf(users, { logger: { debug: line, info: line, warn: line, error: line } });
  watch.on('connected', () => {
    throw new Error('listener');
  });
  await watch.start();
  expect(lines).toContain("a listener of 'connected' threw");
});

test('debug on one watcher logs its steps: starting, subscribing, change received, delivering', async () => {
  const lines: { level: string; message: string; fields: Record<string, unknown> }[] = [];
  const at =
    (level: string) =>
    (fields: object, message = '') =>
      void lines.push({ level, message, fields: fields as Record<string, unknown> });
  const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  const watch = watchOf(
    defineWatchers([
      ['users', 'inserted', { debug: true }],
      ['roles', 'inserted'],
    ]),
    { logger },
  );
  watch.subscribe('users:inserted', () => {}, { name: 'mailer' });
  watch.subscribe('roles:inserted', () => {});
  await watch.start();
  await db.sql(`insert into users (name) values ('x')`);
  await db.sql(`insert into roles (name) values ('x')`);
  await settled(db, watch);
  expect(lines.filter(({ level }) => level === 'debug').map(({ message }) => message)).toEqual([
    'subscribing: mailer',
    'starting: users:inserted',
    'change received: users:inserted',
    'delivering to mailer',
  ]);
  expect(lines.find(({ message }) => message.startsWith('delivering'))!.fields['subscription']).toBe('mailer');
});

test('child loggers have the slot in every line', async () => {
  const bindings: unknown[] = [];
  const nothing = () => {};
  const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
  createWatch({
    connection: db.url,
    slot: 'bound',
    watchers: users,
    logger: { ...logger, child: (bound) => (bindings.push(bound), logger) },
  });
  expect(bindings).toEqual([{ slot: 'bound' }]);
});

test('invalid options are refused, all at once', () => {
  const create = () =>
    createWatch({
      connection: db.url,
      slot: 'Upper',
      watchers: users,
      manage: 'maybe',
      highWaterMark: -1,
      colour: 'red',
    } as never);
  expect(create).toThrow(ConfigurationError);
  try {
    create();
  } catch (error) {
    expect((error as ConfigurationError).issues).toHaveLength(4);
  }
});

test('an unreachable server is retried and reported', async () => {
  const watch = createWatch({
    connection: 'postgres://postgres:s3cret@127.0.0.1:1/nowhere',
    slot: 'unreachable',
    watchers: users,
  });
  const disconnects: { error: WatchError | undefined; retryIn: number }[] = [];
  watch.on('disconnected', (event) => disconnects.push(event));
  const started = watch.start();
  await until(() => disconnects.length >= 2, { describe: 'two attempts' });
  expect(disconnects[0]).toMatchObject({ error: { code: 'CONNECTION', retry: 'soon' }, retryIn: expect.any(Number) });
  expect(JSON.stringify([disconnects, watch.status()])).not.toContain('s3cret');
  await watch.stop();
  await started; // stopped before it could stream: a normal end
  expect(watch.status().state).toBe('stopped');
});
