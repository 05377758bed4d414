/** A commit record may begin exactly where the previous one ends: acknowledging one byte more loses it. */
import { expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers } from '../../src/index.ts';
import { useOwnServer } from '../support/database.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication } from '../support/watching.ts';

// Its own server: a record of another test must not be between the two commits.
const db = useOwnServer({ settings: { autovacuum: false } });
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);

test('of two adjacent commits, of which only the first is handled, the second is delivered again', async () => {
  await db.sql('create table entries (id int generated always as identity primary key)');
  const slot = `touching_${process.pid}`;
  const [first, second] = [await db.client(), await db.client()];

  /** Whether the two commits of this round were adjacent. */
  const round = async (): Promise<boolean> => {
    const events: { id: number; commitLsn: string }[] = [];
    const watch = createWatch({ connection: db.url, slot, watchers, stopTimeout: 10 });
    const again = createWatch({ connection: db.url, slot, watchers });
    onTestFinished(async () => {
      await Promise.all([watch.stop(), again.stop()]);
    });
    watch.subscribe('entries:inserted', ({ id }, { commitLsn }) => {
      events.push({ id, commitLsn });
      return events.length === 1 ? undefined : new Promise(() => {}); // the second is never done
    });
    await watch.start();
    const before = watch.status().confirmedLsn;
    for (const client of [first, second]) {
      await client.query('begin');
      await client.query('insert into entries default values');
    }
    await first.query('commit');
    await second.query('commit');
    await until(() => events.length === 2 && watch.status().confirmedLsn !== before, {
      describe: 'the first to be acknowledged',
    });
    await watch.stop();
    const touched = watch.status().confirmedLsn === events[1]!.commitLsn;

    const seen: number[] = [];
    again.subscribe('entries:inserted', ({ id }) => void seen.push(id));
    await again.start();
    await until(() => seen.length > 0, { describe: `the second transaction again, touched: ${touched}` });
    expect(seen).toEqual([events[1]!.id]);
    await again.stop();
    return touched;
  };

  onTestFinished(() => dropSlotAndPublication(db, slot));
  // The server itself writes now and then: a record of running transactions, every 15 s.
  let rounds = 0;
  while (!(await round())) expect(++rounds).toBeLessThan(50);
});
