/** Writes who changed what, from what to what, into an audit table. `main.js worker` does so without making changes itself. */
import { Pool } from 'pg';
import { createWatch } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { writeAudit } from './audit.ts';
import { tables } from './schema.ts';
import { watchers } from './watchers.ts';
import { writeChanges } from './writer.ts';

await using database = await openDatabase(tables);

const watch = createWatch({ connection: database.url, slot: 'example_audit', watchers });

// One row stream for both tables, so that the log has all changes in commit order.
watch.subscribe(
  [
    'example.accounts:inserted', 'example.accounts:updated', 'example.accounts:deleted', 'example.accounts:truncated',
    'example.orders:inserted', 'example.orders:updated', 'example.orders:deleted', 'example.orders:truncated',
  ],
  writeAudit,
  { name: 'audit', transaction: true, batch: { size: 500 } },
); // prettier-ignore

watch.on('connected', () => console.log('auditing'));
await Promise.race([watch.start(), interrupted]);

if (process.argv[2] !== 'worker') {
  const pool = new Pool({ connectionString: database.url });
  await writeChanges(pool);
  await pool.end();
}

await Promise.race([watch.closed, interrupted]);
await watch.stop();
