import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCluster } from '../../test/support/cluster.ts';
import { inSession } from '../../test/support/template.ts';
import { tables } from './schema.ts';

interface Database extends AsyncDisposable {
  readonly url: string;
}

/** `DATABASE_URL`, or else an embedded PostgreSQL, which is stopped in the end. */
export async function openDatabase(): Promise<Database> {
  const url = process.env['DATABASE_URL'];
  if (url) {
    console.log('database: DATABASE_URL');
    return { url, [Symbol.asyncDispose]: async () => {} };
  }
  // Data and server outlive this process when it is killed: the next one finds them here. Each user has their own.
  const directory = join(tmpdir(), `walwatch-example-${process.getuid?.() ?? 'data'}`);
  const cluster = await startCluster({ directory });
  console.log(`database: ${cluster.url}, an embedded PostgreSQL with its data in ${directory}`);
  return cluster;
}

export async function createTables(url: string): Promise<void> {
  await inSession(url, (client) => client.query(tables));
}

/** Whether an earlier run has left its replication slot: then this one goes on where that one was. */
export function hasSlot(url: string, name: string): Promise<boolean> {
  return inSession(url, async (client) => {
    const { rowCount } = await client.query('select from pg_replication_slots where slot_name = $1', [name]);
    return rowCount === 1;
  });
}
