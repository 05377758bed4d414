/** `caughtUp()`: everything committed before the call is handled when it resolves, and it does resolve. */
import { beforeAll, describe, expect, test } from 'vitest';
import { defineWatchers, type SlotWatch, WatchError } from '../../src/index.ts';
import { parseLsn } from '../../src/postgres/lsn.ts';
import { applicationName } from '../../src/setup/judge.ts';
import { useDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { deferred, until } from '../support/until.ts';
import { watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);
beforeAll(async () => {
  await db.sql('create table entries (id int generated always as identity primary key)');
  await db.sql('create table unwatched (id int generated always as identity primary key, note text)');
});

const insert = async (): Promise<number> =>
  (await db.sql<{ id: number }>('insert into entries default values returning id'))[0]!.id;
const newest = async (): Promise<number> => (await db.sql<{ id: number }>('select max(id) as id from entries'))[0]!.id;

/** A watch, and the ids that its handler has finished; it takes a moment for each. */
function recording(options: Parameters<typeof watchOf>[1] = {}) {
  const watch = watchOf(watchers, options) as SlotWatch<typeof watchers>;
  const seen: number[] = [];
  watch.subscribe('entries:inserted', async ({ id }) => {
    await new Promise(setImmediate);
    seen.push(id);
  });
  return { watch, seen };
}

/** Whether the call still waits once the server has sent everything written since. */
async function waits(promise: Promise<void>, watch: SlotWatch<any>): Promise<boolean> {
  let over = false;
  promise.then(() => (over = true), () => (over = true)); // prettier-ignore
  const [message] = await db.sql<{ lsn: string }>(`select pg_logical_emit_message(true, 'test', '')::text as lsn`);
  await until(() => parseLsn(watch.status().receivedLsn ?? '0/0') >= parseLsn(message!.lsn), {
    describe: 'the stream to continue',
  });
  return !over;
}

/** Until the server has told a call its end of WAL, if nothing else is pending: later commits are beyond that position. */
async function hasTarget({ slot }: { readonly slot: string }): Promise<void> {
  await until(
    async () => {
      const answered = await db.sql(
        `select from pg_stat_activity where application_name = $1 and state = 'idle' and query ~ 'insert_lsn|emit_message'`,
        [`${applicationName(slot)}:gate`],
      );
      return answered.length > 0;
    },
    { describe: 'the answer to where the WAL ends' },
  );
}

describe.each(['committed', 'immediate'] as const)("visibility '%s'", (visibility) => {
  test('everything committed before the call is handled', async () => {
    const { watch, seen } = recording({ visibility });
    await watch.start();
    for (let round = 0; round < 50; round++) {
      const id = await insert();
      await watch.caughtUp();
      expect(seen.at(-1)).toBe(id);
    }
  });

  test('it resolves on a database where nothing happens', async () => {
    const { watch } = recording({ visibility });
    await watch.start();
    for (let round = 0; round < 20; round++) await watch.caughtUp();
  });
});

test('commits of tables that are not published do not block it', async () => {
  const { watch, seen } = recording();
  await watch.start();
  for (let round = 0; round < 20; round++) {
    await db.sql(`insert into unwatched (note) values (repeat('x', $1))`, [round * 37]);
    await watch.caughtUp();
  }
  expect(seen).toEqual([]);
});

test('it waits for commits that the server has not flushed yet', async () => {
  const { watch, seen } = recording();
  await watch.start();
  const client = await db.client();
  await client.query('set synchronous_commit = off');
  for (let round = 0; round < 20; round++) {
    const { rows } = await client.query<{ id: number }>('insert into entries default values returning id');
    await watch.caughtUp();
    expect(seen.at(-1)).toBe(rows[0]!.id);
  }
});

test('an open transaction does not block it, even on an otherwise idle server', async () => {
  const { watch, seen } = recording();
  await watch.start();
  const open = await db.client();
  await open.query('begin');
  for (let round = 0; round < 20; round++) {
    await open.query('insert into entries default values');
    await watch.caughtUp();
  }
  expect(seen).toEqual([]);
  await open.query('commit');
  await watch.caughtUp();
  expect(seen).toHaveLength(20);
});

test('several concurrent calls each wait for everything committed before them', async () => {
  const { watch, seen } = recording();
  await watch.start();
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      const id = await insert();
      await watch.caughtUp();
      expect(seen).toContain(id);
    }),
  );
});

test('it resolves while others continue to write', async () => {
  const { watch, seen } = recording();
  await watch.start();
  await insert();
  let writing = true;
  const writers = ['insert into entries default values', `insert into unwatched (note) values ('x')`].map(
    async (statement) => {
      while (writing) await db.sql(statement);
    },
  );
  try {
    for (let round = 0; round < 20; round++) {
      const id = await newest();
      await watch.caughtUp();
      expect(seen).toContain(id);
    }
  } finally {
    writing = false;
    await Promise.all(writers);
  }
});

test('before start() it waits for the stream, and then for everything committed', async () => {
  const { watch, seen } = recording();
  const caughtUp = watch.caughtUp();
  await watch.start();
  await caughtUp;
  await watch.stop();
  const id = await insert();
  const again = recording({ slot: watch.status().slot });
  const second = again.watch.caughtUp();
  void again.watch.start();
  await second;
  expect([seen, again.seen]).toEqual([[], [id]]);
});

test('it waits for a handler that is retried', async () => {
  const watch = watchOf(watchers);
  let failures = 0;
  const mended = deferred();
  const seen: number[] = [];
  watch.subscribe('entries:inserted', async ({ id }) => {
    if (failures++ < 2) throw new Error('not yet');
    await mended.promise;
    seen.push(id);
  });
  await watch.start();
  const id = await insert();
  const caughtUp = watch.caughtUp();
  await until(() => failures === 3, { describe: 'the third attempt' });
  expect(await waits(caughtUp, watch)).toBe(true);
  mended.resolve();
  await caughtUp;
  expect(seen).toEqual([id]);
});

test('it does not wait for a later commit, even one whose handler already runs', async () => {
  const watch = watchOf(watchers);
  const calls: { readonly id: number; readonly resolve: () => void }[] = [];
  watch.subscribe('entries:inserted', ({ id }) => {
    const done = deferred();
    calls.push({ id, ...done });
    return done.promise;
  }, { concurrency: 2 }); // prettier-ignore
  await watch.start();
  await insert();
  await until(() => calls.length === 1, { describe: 'the first event' });
  const caughtUp = watch.caughtUp();
  await hasTarget(watch.status());
  expect(await waits(caughtUp, watch)).toBe(true);
  await insert();
  await until(() => calls.length === 2, { describe: 'the second event' });
  calls[0]!.resolve();
  await caughtUp;
  expect(watch.status().running).toBe(1);
  calls[1]!.resolve();
  await watch.caughtUp();
});

test('with concurrency it waits for all running handlers', async () => {
  const watch = watchOf(watchers);
  const running = new Map<number, () => void>();
  watch.subscribe('entries:inserted', ({ id }) => new Promise<void>((resolve) => running.set(id, resolve)), { concurrency: 8 }); // prettier-ignore
  await watch.start();
  await db.sql('insert into entries select from generate_series(1, 8)');
  const caughtUp = watch.caughtUp();
  await until(() => running.size === 8, { describe: 'all handlers' });
  const resolves = [...running.values()].toReversed();
  for (const resolve of resolves.slice(0, 7)) resolve();
  expect(await waits(caughtUp, watch)).toBe(true);
  resolves[7]!();
  await caughtUp;
});

test('it survives lost connections', async () => {
  const proxy = await startProxy(db.url);
  try {
    const { watch, seen } = recording({ connection: proxy.url });
    await watch.start();
    for (let round = 0; round < 3; round++) {
      let reconnected = false;
      const remove = watch.on('connected', () => (reconnected = true));
      const id = await insert();
      const caughtUp = watch.caughtUp();
      proxy.reset();
      await caughtUp;
      expect(seen).toContain(id);
      await until(() => reconnected, { describe: 'the next connection' });
      remove();
    }
    // A call without a connection.
    proxy.behave('silent');
    proxy.reset();
    await until(() => watch.status().state !== 'streaming', { describe: 'the loss' });
    const id = await insert();
    const caughtUp = watch.caughtUp();
    proxy.behave('forward');
    proxy.reset();
    await caughtUp;
    expect(seen.filter((one) => one === id)).toEqual([id]);
  } finally {
    await proxy[Symbol.asyncDispose]();
  }
});

describe('it rejects', () => {
  const hanging = async () => {
    const watch = watchOf(watchers, { stopTimeout: 10 });
    watch.subscribe('entries:inserted', () => new Promise<void>(() => {}), { name: 'hangs' });
    await watch.start();
    await insert();
    await until(() => watch.status().running === 1, { describe: 'the handler' });
    return watch;
  };

  test("with the signal's reason, at once when it is aborted already", async () => {
    const watch = await hanging();
    const reason = new Error('enough');
    const controller = new AbortController();
    const caughtUp = watch.caughtUp({ signal: controller.signal });
    expect(await waits(caughtUp, watch)).toBe(true);
    controller.abort(reason);
    await expect(caughtUp).rejects.toBe(reason);
    await expect(watch.caughtUp({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('with STOPPED when the watch is stopped first, and afterwards', async () => {
    const watch = await hanging();
    const caughtUp = watch.caughtUp();
    const rejected = expect(caughtUp).rejects.toMatchObject({ code: 'STOPPED' });
    await watch.stop();
    await rejected;
    await expect(watch.caughtUp()).rejects.toMatchObject({ code: 'STOPPED' });
    await expect(watchOf(watchers).stop().then(() => watch.caughtUp())).rejects.toBeInstanceOf(WatchError); // prettier-ignore
  });

  test('with what ended the watch', async () => {
    const watch = watchOf(watchers);
    const broken = new Error('broken');
    watch.subscribe('entries:inserted', () => Promise.reject(broken), { onError: { attempts: 1, then: 'stop' } });
    await watch.start();
    await insert();
    await expect(watch.caughtUp()).rejects.toMatchObject({ code: 'HANDLER_FAILED', cause: broken });
    await expect(watch.closed).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
    await expect(watch.caughtUp()).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
  });
});
