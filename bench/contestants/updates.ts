/** Updates that exist before a watch reads them, so that only its own work is measured. */
import pg from 'pg';
import { createWatch, type SlotWatch, type Watchers } from 'walwatch';

const slot = 'walwatch_bench_updates';
const rows = 1000;

/** Makes this many updates of the first thousand rows, and a watch that has not started. */
export async function backlogOfUpdates<W extends Watchers>(
  url: string,
  watchers: W,
  table: string,
  set: string,
  count: number,
) {
  const client = new pg.Client(url);
  await client.connect();
  const first = createWatch({ connection: url, slot, watchers });
  await first.start();
  await first.stop();
  for (let done = 0; done < count; done += rows)
    await client.query(`update ${table} set ${set} where id <= $1`, [Math.min(rows, count - done)]);
  const watch: SlotWatch<W> = createWatch({ connection: url, slot, watchers });
  let heard = 0;
  let wanted = Infinity;
  let begin = 0;
  let end = (_microseconds: number) => {};
  const took = new Promise<number>((resolve) => (end = resolve));
  return {
    watch,
    /** A handler. */
    heard: () => {
      if (heard++ === 0) begin = performance.now();
      if (heard === wanted) end((performance.now() - begin) * 1000);
    },
    /** Microseconds from the first event to the one with this number. */
    async drain(events: number): Promise<number> {
      wanted = events;
      await watch.start();
      return took;
    },
    async [Symbol.asyncDispose]() {
      await watch.stop();
      await client.query('select pg_drop_replication_slot($1)', [slot]);
      await client.query(`drop publication ${slot}`);
      await client.end();
    },
  };
}
