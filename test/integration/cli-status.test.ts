/** status: one line says whether the slot is healthy, and if not, why. */
import { expect, inject, onTestFinished, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { cli, onTerminal } from '../support/cli.ts';
import { startCluster } from '../support/cluster.ts';
import { createDatabase, useDatabase } from '../support/database.ts';
import { deferred, until } from '../support/until.ts';
import { dropSlotAndPublication, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers([
  ['users', 'inserted'],
  ['packages', 'deleted'],
]);

const facts = async (slot: string) => {
  const { code, stdout, stderr } = await cli(['status', '--slot', slot, '--json'], { url: db.url });
  expect(stderr).toBe('');
  return { code, ...JSON.parse(stdout) };
};

test('a slot is healthy while its worker keeps up, and the worker is shown', async () => {
  const slot = slotName();
  const watch = watchOf(watchers, { slot });
  watch.subscribe('users:inserted', () => {});
  await watch.start();
  await db.sql(`insert into users (name) values ('Ada')`);
  await settled(db, watch);
  const status = await facts(slot);
  expect(status).toMatchObject({
    code: 0, slot, publication: slot, level: 'ok', reasons: [], activePid: expect.any(Number), application: `walwatch/${slot}`,
    lagBytes: expect.any(Number), lagSeconds: 0, retainedBytes: expect.any(Number), walStatus: 'reserved',
    waiting: { events: [], more: false },
  }); // prettier-ignore
  const piped = await cli(['status', '--slot', slot], { url: db.url });
  expect(piped.code).toBe(0);
  expect(piped.stdout).toMatch(
    new RegExp(`^✓ ${slot}: healthy\n  worker +process ${status.activePid}, walwatch/${slot}`),
  );
  expect(piped.stdout).toMatch(/^ {2}lag +.*, 0 s \(no event is waiting\)$/m);
  expect(piped.stdout).toMatch(/^ {2}retained WAL +.*no limit \(max_slot_wal_keep_size\)$/m);
  const shown = await onTerminal(['status', '--slot', slot], { url: db.url });
  expect(shown).toMatchObject({ code: 0, stdout: expect.stringContaining('\u001b[32m✓\u001b[0m') });
});

test('waiting events are shown with their growing age, and reading them takes nothing from the worker', async () => {
  const slot = slotName();
  const held = deferred();
  const seen: unknown[] = [];
  const watch = watchOf(watchers, { slot });
  watch.subscribe('users:inserted', async (event: unknown) => {
    seen.push(event);
    await held.promise;
  });
  await watch.start();
  await db.sql(`insert into users (name) values ('Ada'), ('Grace')`);
  await db.sql('delete from packages'); // the table is empty: no change
  const first = await facts(slot);
  expect(first.waiting.events).toEqual([
    { what: 'users:inserted', committedAt: expect.any(String) },
    { what: 'users:inserted', committedAt: expect.any(String) },
  ]);
  expect(first.lagSeconds).toBeGreaterThan(0);
  const second = await facts(slot);
  expect(second.lagSeconds).toBeGreaterThan(first.lagSeconds);
  expect(second.confirmedLsn).toBe(first.confirmedLsn);
  held.resolve();
  await settled(db, watch);
  expect(seen).toHaveLength(2);
  expect(await facts(slot)).toMatchObject({ lagSeconds: 0, waiting: { events: [] } });
});

test('waiting messages are shown, except those of walwatch', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  await cli(['setup', 'users:inserted', '--slot', slot, '--yes'], { url: db.url });
  await db.sql(`select pg_logical_emit_message(true, 'walwatch:heartbeat:${slot}', '')`);
  expect(await facts(slot)).toMatchObject({ lagSeconds: 0, waiting: { events: [] } });
  await db.sql(`select pg_logical_emit_message(false, 'audit', 'y')`);
  const untimed = await facts(slot);
  expect(untimed).toMatchObject({ lagSeconds: null, waiting: { events: [{ what: 'message:audit', committedAt: null }] } });
  await db.sql(`select pg_logical_emit_message(true, 'outbox', 'x')`);
  const timed = await facts(slot);
  expect(timed.waiting.events).toEqual([
    { what: 'message:audit', committedAt: null },
    { what: 'message:outbox', committedAt: expect.any(String) },
  ]);
  expect(timed.lagSeconds).toBeGreaterThan(0);
  const { stdout } = await cli(['status', '--slot', slot], { url: db.url });
  expect(stdout).toMatch(/^ {2}waiting +message:audit, message:outbox \(/m);
  expect(stdout).not.toContain('no event is waiting');
}); // prettier-ignore

test('a waiting outbox message is shown by its name, and counts as lag', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  await cli(['setup', 'users:inserted', '--slot', slot, '--yes'], { url: db.url });
  await db.sql(
    `select pg_logical_emit_message(true, 'walwatch:annotations', '{}'),
            pg_logical_emit_message(true, 'walwatch:message:order.placed', '{"value":1}')`,
  );
  const { waiting, lagSeconds } = await facts(slot);
  expect(waiting.events).toEqual([{ what: 'message:order.placed', committedAt: expect.any(String) }]);
  expect(lagSeconds).toBeGreaterThan(0);
});

test('if not all waiting messages could be read, the lag is unknown instead of 0', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  await cli(['setup', 'users:inserted', '--slot', slot, '--yes'], { url: db.url });
  // Each is a transaction with one message.
  for (let i = 0; i < 70; i++) await db.sql(`select pg_logical_emit_message(true, 'walwatch:x', '')`);
  const { stdout } = await cli(['status', '--slot', slot], { url: db.url });
  expect(stdout).toMatch(/^ {2}waiting +unknown: only the first 200 messages of the protocol were read$/m);
  expect(stdout).toMatch(/^ {2}lag .*, seconds unknown$/m);
  expect(stdout).not.toMatch(/no event is waiting|healthy/);
});

test('a missing worker, slot or publication is a problem, and the exit code is 1', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  expect(await facts(slot)).toMatchObject({
    code: 1,
    level: 'problem',
    reasons: [`the slot '${slot}' does not exist: walwatch setup creates it`],
  });
  await cli(['setup', 'users:inserted', '--slot', slot, '--yes'], { url: db.url });
  expect(await facts(slot)).toMatchObject({
    code: 1,
    level: 'problem',
    reasons: ['no worker is connected'],
    activePid: null,
  });
  await db.sql(`drop publication "${slot}"`);
  expect(await facts(slot)).toMatchObject({ code: 1, reasons: [`the publication '${slot}' is missing`] });
});

test('a lost slot is reported with the reason', async () => {
  await using cluster = await startCluster({ settings: { max_slot_wal_keep_size: '16MB' } });
  await using own = await createDatabase(cluster.url);
  await cli(['setup', 'users:inserted', '--slot', 'lost', '--yes'], { url: own.url });
  const status = () => cli(['status', '--slot', 'lost'], { url: own.url });
  expect((await status()).stdout).toMatch(/retained WAL .* of 16 MB \(\d+ %\), lost after \d+ MB more/);
  for (let i = 0; i < 4; i++) {
    await own.sql(`select pg_logical_emit_message(false, 'x', 'x')`);
    await own.sql('select pg_switch_wal()');
  }
  await own.sql('checkpoint');
  expect(await status()).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^✗ lost: the slot is lost: wal_removed/),
  });
  await own.sql(`select pg_drop_replication_slot('lost')`);
});

test('without a worker, status shows since when, when the slot will be lost, and what decoding wrote to disk', async () => {
  await using cluster = await startCluster({ settings: { logical_decoding_work_mem: '64kB', ...(inject('server').version >= 18 && { idle_replication_slot_timeout: '2h' }) } });
  await using own = await createDatabase(cluster.url);
  const { version } = inject('server');
  await cli(['setup', 'users:inserted', '--slot', 'idle', '--yes'], { url: own.url });
  await own.sql(`insert into users (name) select 'user ' || i from generate_series(1, 10000) i`);
  await own.sql(`select count(*) from pg_logical_slot_peek_binary_changes('idle', null, null, 'proto_version', '1', 'publication_names', 'idle')`);
  const status = () => cli(['status', '--slot', 'idle'], { url: own.url });
  await until(async () => (await status()).stdout.includes('spilled'), { describe: 'the statistics' });
  const { code, stdout } = await status();
  expect(code).toBe(1);
  expect(stdout).toMatch(/^ {2}spilled +\d.* of 1 transaction: larger than logical_decoding_work_mem/m);
  if (version >= 17) expect(stdout).toMatch(/^ {2}worker +none since 20\d\d-/m);
  const idle = 'no worker is connected: after 2 h 0 min without one the slot is lost (idle_replication_slot_timeout)';
  if (version >= 18) expect(stdout).toContain(idle);
  const doctor = await cli(['doctor', 'users:inserted', '--slot', 'idle'], { url: own.url });
  expect(doctor.stdout).toMatch(/^✓ logical_decoding_work_mem: 1 transaction exceeded it so far, /m);
  if (version >= 18) expect(doctor.stdout).toMatch(/^! idle_replication_slot_timeout: 2 h 0 min without a worker; the last one disconnected at /m);
  await own.sql(`select pg_drop_replication_slot('idle')`);
}); // prettier-ignore

test('dead letters are a warning', async () => {
  const slot = slotName();
  const watch = watchOf(watchers, { slot, onError: { attempts: 1, then: 'deadLetter' } });
  watch.subscribe('users:inserted', () => Promise.reject(new Error('no such mailbox')), { name: 'mailer' });
  await watch.start();
  await db.sql(`insert into users (name) values ('Ada'), ('Grace')`);
  await settled(db, watch);
  const status = await facts(slot);
  expect(status).toMatchObject({
    code: 0, level: 'warning', reasons: ['2 dead letters'],
    deadLetters: { of: [{ subscription: 'mailer', count: 2, newest: expect.any(String) }] },
  }); // prettier-ignore
  const { stdout } = await cli(['status', '--slot', slot], { url: db.url });
  expect(stdout).toMatch(/^! \S+: 2 dead letters\n/);
  expect(stdout).toMatch(
    /^ {2}dead letters +2 of mailer, the newest at \d\d:\d\d:\d\d\. See: walwatch dead-letters list$/m,
  );
  expect(await facts(`${slot}_other`)).toMatchObject({ deadLetters: { of: [] } });
  await watch.stop();
  await db.sql('delete from walwatch.dead_letters');
});

test('a failing event is listed as waiting at first, and named once its worker has reported it', async () => {
  const slot = slotName();
  const watch = watchOf(watchers, { slot });
  watch.subscribe('users:inserted', () => Promise.reject(new Error('never')));
  await watch.start();
  await db.sql(`insert into users (name) values ('Ada')`);
  await until(() => (watch.status().heldBy?.attempt ?? 0) > 1, { describe: 'a second attempt' });
  const { stdout } = await cli(['status', '--slot', slot], { url: db.url });
  expect(stdout).not.toContain('healthy');
  expect(stdout).toMatch(
    /events are waiting, the oldest for|the oldest event has been waiting for|the handler of event/,
  );
  await until(async () => (await facts(slot)).failing !== null, {
    describe: 'the report of the worker',
  });
  const status = await facts(slot);
  expect(status).toMatchObject({ level: 'warning', failing: { eventId: watch.status().heldBy!.eventId } });
  expect(status.reasons).toContainEqual(
    expect.stringMatching(/^the handler of event \S+ fails \(attempt \d+\): see the worker's log$/),
  );
});

test('a slot that is still being created is reported with the transaction that it waits for', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  await db.sql(`create publication "${slot}" for table users`);
  const writer = await db.client();
  await writer.query(`set application_name = 'nightly_job'; begin; insert into users (name) values ('Ada')`);
  const maker = await db.client();
  const made = maker.query(`select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  await until(async () => (await facts(slot)).currentLsn !== null, { describe: 'the slot' });
  const status = await facts(slot);
  expect(status).toMatchObject({ code: 1, level: 'problem', reasons: [expect.stringMatching(/waits for transactions .*nightly_job/)] });
  await writer.query('rollback');
  await made;
}); // prettier-ignore

test('facts that cannot be read are a warning: a role without rights never sees "healthy"', async () => {
  const slot = slotName();
  const watch = watchOf(watchers, { slot });
  await watch.start();
  await db.sql(`create role ${slot} login`);
  onTestFinished(() => db.sql(`drop role ${slot}`).then(() => {}));
  const url = new URL(db.url);
  url.username = slot;
  const { stdout } = await cli(['status', '--slot', slot], { url: url.href });
  expect(stdout).toMatch(/^! \S+: the waiting events could not be read: (permission denied|must be)/);
});
