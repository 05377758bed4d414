/**
 * A worker to be killed: keeps `copy` like `items` and notes each event in `handled`, both in one transaction. This transaction also stores
 * the progress, except with `plain`: then a crash repeats events that were handled but not recorded.
 * `node copier.js <url> <slot> <plain|single|batch>`. An existing row may come again under its id if another row has got its key, so keys
 * must not change where that is an error.
 */
import pg from 'pg';
import { type Change, createWatch, defineWatchers } from 'walwatch';
import { print } from './print.ts';

const [connection = '', slot = '', mode = ''] = process.argv.slice(2);
const watchers = defineWatchers<{ items: { id: number; version: number } }>()([
  ['items', ['inserted', 'updated', 'deleted'], { extraColumns: ['version'] }],
  ['items', 'truncated'],
]);
const watch = createWatch({ connection, slot: { name: slot, takeover: 'terminate' }, watchers, stopTimeout: 10_000 });

interface Sql {
  query(text: string, values: unknown[]): Promise<{ rows: any[] }>;
}

async function apply({ type, event, context }: Change<any>, client: Sql): Promise<void> {
  const { existing, eventId } = context as { existing: boolean; eventId: string };
  const { id, version } = event as { id: number; version: number };
  await client.query('insert into handled (event_id, existing) values ($1, $2)', [eventId, existing]);
  if (type === 'truncated') {
    await client.query('delete from copy', []);
    return;
  }
  if (type === 'deleted') {
    await client.query('delete from copy where id = $1', [id]);
    return;
  }
  const before = type === 'updated' ? ((context.previous as { id: number }).id ?? id) : id;
  const { rows } = await client.query('delete from copy where id = $1 returning version', [before]);
  const known = rows[0]?.version as number | undefined;
  // What was handled before it is exactly what the row has: the next update is one version later.
  if (mode !== 'plain' && known !== undefined && version !== (existing ? known : known + 1))
    await client.query('insert into wrong (what) values ($1)', [`${id}: ${known} to ${version} by ${eventId}`]);
  await client.query(
    'insert into copy (id, version) values ($1, $2) on conflict (id) do update set version = excluded.version',
    [id, version],
  );
}

const names = ['items:inserted', 'items:updated', 'items:deleted', 'items:truncated'] as const;
// With `plain`, chunks take so long that the progress is stored in the middle of one.
const own = { name: 'copy', existing: { version: 'v1', chunk: mode === 'plain' ? 600 : 60 } } as const;
const options = { ...own, transaction: true } as const;

/** Without `transaction`. */
async function subscribePlain() {
  const client = new pg.Client(connection);
  await client.connect();
  process.once('SIGTERM', () => void watch.closed.then(() => client.end()));
  return watch.subscribe(names, async (change) => {
    await client.query('begin');
    await apply(change, client);
    await client.query('commit');
  }, own); // prettier-ignore
}

const subscription =
  mode === 'plain'
    ? await subscribePlain()
    : mode === 'batch'
      ? watch.subscribe(names, async (changes, { client }) => {
          for (const change of changes) await apply(change, client);
        }, { ...options, batch: { size: 7 } }) // prettier-ignore
      : watch.subscribe(names, (change, { client }) => apply(change, client), options);
watch.on('error', (error) => print({ error: error.message }));
watch.on('warning', (warning) => print({ warning: `${warning.code} ${warning.message}` }));
watch.on('handlerFailed', ({ error }) => print({ failed: String(error) }));
process.once('SIGTERM', () => void watch.stop());
subscription.existing.done.then(() => print({ done: true })).catch(() => {});
await watch.start();
print({ started: true });
