import type { Pool } from 'pg';
import type { Change, ExistingSubscription, SlotWatch } from 'walwatch';
import { print } from './print.ts';
import type { watchers } from './watchers.ts';

/**
 * Keeps the table `order_search` in step with `orders`. With `existing` it first gets the rows that were in the table before
 * the first start. They arrive as inserts, between the changes at the right places, so the copy is complete afterwards.
 */
export function keepOrderSearch(watch: SlotWatch<typeof watchers>, pool: Pool): void {
  const subscription = watch.subscribe(
    ['walwatch_example.orders:inserted', 'walwatch_example.orders:updated', 'walwatch_example.orders:deleted'],
    async (changes) => {
      const gone = changes.flatMap(({ type, event }) => (type === 'deleted' ? [event.id] : []));
      const rows = changes.flatMap(({ type, event }) =>
        type === 'deleted' ? [] : [{ id: event.id, text: `${event.item} (${event.status})` }],
      );
      await pool.query(write, [JSON.stringify(rows), gone]);
      report(subscription, changes);
    },
    { name: 'order_search', existing: 'v1', batch: { size: 500, latest: true } },
  );
}

/** Both parts see the table as it was before. No order is in both, because `latest` leaves one change of each. */
const write = `
  with gone as (delete from walwatch_example.order_search where id = any ($2))
  insert into walwatch_example.order_search select id, text from jsonb_to_recordset($1) as row (id int, text text)
  on conflict (id) do update set text = excluded.text`;

let reported = 0;

/** A line for every thousand existing rows, and one for each change. */
function report({ existing: { rows, estimatedRows, done } }: ExistingSubscription, changes: readonly Change[]): void {
  const existing = changes.filter(({ context }) => context.existing).length;
  const now = rows + existing; // these count when this handler has returned
  if (existing > 0 && reported === 0)
    void done.then(
      () => console.log('existing rows: all orders are read; changes follow'),
      () => {}, // it ended before
    );
  if (existing > 0 && now - reported >= 1000) {
    reported = now;
    console.log(`existing rows: ${now} of about ${estimatedRows ?? 'unknown'} orders`);
  }
  for (const { event, context } of changes) if (!context.existing) print(event, context);
}
