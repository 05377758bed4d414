/** Existing rows with a physical standby: it confirms commits slowly, or is the source itself. */
import { expect, onTestFinished, test } from 'vitest';
import { type ConfigurationError, createWatch, defineWatchers } from '../../src/index.ts';
import { wantedVersion } from '../support/binaries.ts';
import { startCluster } from '../support/cluster.ts';
import { writeTo } from '../support/copier.ts';
import { createDatabase } from '../support/database.ts';
import { copyOn, sorted } from '../support/existing-copy.ts';
import { replayed, startStandby } from '../support/standby.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { settled } from '../support/watching.ts';

const version = wantedVersion(process.env);

test(
  'rows are spliced exactly while each commit waits for a slow standby, and the standby itself is refused as a source',
  { timeout: 120_000 },
  async () => {
    const primary = await startCluster();
    onTestFinished(() => primary[Symbol.asyncDispose]());
    const standby = await startStandby(primary, { recovery_min_apply_delay: '20ms' });
    onTestFinished(() => standby[Symbol.asyncDispose]());
    const db = await createDatabase(primary.url);
    onTestFinished(() => db[Symbol.asyncDispose]());
    const { watch, copy, wrong, table, subscribe } = await copyOn(db)('applied', 1000, { pause: 1 });
    await db.sql(`alter database "${db.name}" set synchronous_commit = remote_apply`);
    await primary.reload({ synchronous_standby_names: 'walreceiver' });
    onTestFinished(() => primary.reload({ synchronous_standby_names: '' }));
    const subscription = subscribe();
    const end = writeTo(db, 'applied', { pause: 5 });
    await watch.start();
    await subscription.existing.done;
    await end();
    await settled(db, watch);
    expect(wrong).toEqual([]);
    expect(sorted(copy)).toEqual(sorted(await table()));
    await watch.stop();
    await primary.reload({ synchronous_standby_names: '' });
    if (version < 16) return; // no standby decodes

    await db.sql('create publication on_standby for table applied with (publish_via_partition_root = true)');
    await replayed(primary, standby);
    const url = standby.url.replace(/postgres$/, db.name);
    let made = false;
    const making = inSession(url, (client) =>
      client.query(`select pg_create_logical_replication_slot('on_standby', 'pgoutput')`),
    ).finally(() => (made = true));
    await until(
      async () => {
        await inSession(primary.url, (client) => client.query('select pg_log_standby_snapshot()'));
        return made;
      },
      { describe: 'the slot on the standby' },
    );
    await making;
    const onStandby = () => {
      const one: any = createWatch({
      connection: url, slot: 'on_standby', manage: 'verify', watchers: defineWatchers([['applied', 'inserted']]) as never,
    }); // prettier-ignore
      onTestFinished(() => one.stop());
      return { one, read: () => one.subscribe('applied:inserted', () => {}, { name: 'copy', existing: 'v1' }) };
    };
    const refusal = {
      code: 'CONFIGURATION',
      issues: [
        { message: expect.stringContaining('the server is a standby'), solution: expect.stringContaining('primary') },
      ],
    };
    const first = onStandby();
    const subscribed = first.read();
    const error = (await first.one.start().catch((refused: unknown) => refused)) as ConfigurationError;
    expect(error).toMatchObject(refusal);
    await expect(subscribed.existing.done).rejects.toMatchObject({ code: 'CONFIGURATION' });
    // subscribe() after the start throws.
    const second = onStandby();
    await second.one.start();
    expect(second.read).toThrow(expect.objectContaining(refusal));
    await second.one.stop();
  },
);
