/** Existing rows while somebody changes the table: its rows are neither hidden nor left out. */
import { expect, onTestFinished, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { copyOn, sorted, stopAt } from '../support/existing-copy.ts';
import { until } from '../support/until.ts';
import { nameOn, settled } from '../support/watching.ts';

const db = useDatabase();
const copyOf = copyOn(db);

/** The session that reads rows waits for a lock. */
const waits = () =>
  until(
    async () =>
      (
        await db.sql(
          `select from pg_stat_activity where datname = current_database() and application_name like '%:existing' and wait_event_type = 'Lock'`,
        )
      ).length > 0,
    { describe: 'a chunk that waits for a lock' },
  );

test.each(['read committed', 'repeatable read', 'serializable'])(
  'a chunk that waits for a rewrite of the table reads the rows that the rewrite has moved (default isolation: %s)',
  async (isolation) => {
    const name = `rewritten_${isolation.replace(' ', '_')}`;
    const connection = new URL(db.url);
    connection.searchParams.set('options', `-c default_transaction_isolation=${isolation.replace(' ', '\\ ')}`);
    const { during, reached, goOn } = stopAt(61);
    const options = { during, watchOptions: { connection: connection.href } };
    const { watch, copy, wrong, table, subscribe, existingRows, told } = await copyOf(name, 300, options);
    const subscription = subscribe();
    await watch.start();
    await reached;
    const migration = await db.client();
    await migration.query(
      `begin; alter table ${name} add noted timestamptz default clock_timestamp(); update ${name} set version = version + 1 where id > 250`,
    );
    goOn();
    await waits();
    await migration.query('commit');
    await subscription.existing.done;
    await settled(db, watch);
    expect(wrong).toEqual([]);
    expect(sorted(copy)).toEqual(sorted(await table()));
    expect(new Set(existingRows).size).toBe(300);
    expect(told()).toEqual([]);
  },
);

test('row-level security that is enabled while the table is read stops the reading, and leaves no row out', async () => {
  const slot = nameOn(db);
  const role = `reader_${slot}`;
  await db.sql(`create role ${role} login replication password 'x'`);
  onTestFinished(async () => void (await db.sql(`drop owned by ${role}; drop role ${role}`)));
  const url = new URL(db.url);
  Object.assign(url, { username: role, password: 'x' });
  const { during, reached, goOn } = stopAt(61);
  const { watch, copy, table, subscribe, existingRows, told } = await copyOf('secured', 300, {
    during,
    slot,
    watchOptions: { connection: url.href, manage: 'verify' },
  });
  const other = await copyOf('unrelated', 1); // makes the table walwatch.existing
  other.subscribe();
  await other.watch.start();
  await db.sql(`create publication "${slot}" for table secured with (publish_via_partition_root = true);
                grant select on secured to ${role}; grant usage on schema walwatch to ${role};
                grant select, insert, update on walwatch.existing to ${role}`);
  await db.sql(`select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  const subscription = subscribe();
  await watch.start();
  await reached;
  await db.sql('alter table secured enable row level security');
  goOn();
  await until(() => told().length > 0, { describe: 'the warning' });
  expect(told()[0]).toMatch(/row-level security policy for table "secured"/);
  expect(subscription.existing.state).toBe('reading');
  await db.sql('alter table secured disable row level security');
  await subscription.existing.done;
  await settled(db, watch);
  expect(existingRows).toHaveLength(300);
  expect(sorted(copy)).toEqual(sorted(await table()));
});

test('a primary key that is dropped while the table is read: reading continues, and no row comes twice', async () => {
  const { watch, copy, wrong, table, subscribe, existingRows } = await copyOf('keyless', 300, { pause: 1 });
  const subscription = subscribe();
  await watch.start();
  await until(() => existingRows.length > 60, { describe: 'some rows' });
  await db.sql(
    'alter table keyless drop constraint keyless_pkey; update keyless set version = version + 1 where id % 7 = 0',
  );
  await subscription.existing.done;
  await settled(db, watch);
  expect(wrong).toEqual([]);
  expect(sorted(copy)).toEqual(sorted(await table()));
  expect(existingRows).toHaveLength(300);
});

test('after a reconnect without the primary key the watch fails, and with it the next worker continues', async () => {
  const { during, reached, goOn } = stopAt(121);
  const first = await copyOf('unindexed', 300, { during });
  const subscription = first.subscribe();
  await first.watch.start();
  const stored = async () =>
    (await db.sql(`select from walwatch.existing where slot = $1 and rows > 50`, [first.slot])).length;
  await reached;
  await until(stored, { describe: 'some stored rows' });
  const disconnected = new Promise((resolve) => first.watch.on('disconnected', resolve));
  await db.sql('alter table unindexed drop constraint unindexed_pkey');
  await db.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and backend_type = 'walsender'`,
  );
  await disconnected;
  goOn();
  const refusal = {
    code: 'CONFIGURATION',
    message: expect.stringContaining('"public"."unindexed" has no primary key'),
  };
  await expect(first.watch.closed).rejects.toMatchObject(refusal);
  await expect(subscription.existing.done).rejects.toMatchObject(refusal);
  await db.sql('alter table unindexed add primary key (id)');
  const again = await copyOf('unindexed', 0, { slot: first.slot });
  const rest = again.subscribe();
  await again.watch.start();
  await rest.existing.done;
  expect(new Set([...first.existingRows, ...again.existingRows]).size).toBe(300);
  expect(again.existingRows.length).toBeLessThan(300);
  expect(again.told()).toEqual([]);
});
