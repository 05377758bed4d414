import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseError } from 'pg';
import { startCluster } from '../../test/support/cluster.ts';
import { inSession } from '../../test/support/template.ts';
import { pageRole, rightsOfPage, tables } from './schema.ts';

export interface Database extends AsyncDisposable {
  readonly url: string;
  /** Of a role that may only read and write the tables of this example. Undefined on DATABASE_URL. */
  readonly pageUrl: string | undefined;
}

/** `DATABASE_URL`, or else an embedded PostgreSQL, which is stopped in the end. */
export async function openDatabase(): Promise<Database> {
  const url = process.env['DATABASE_URL'];
  if (url) {
    console.log('database: DATABASE_URL');
    return { url, pageUrl: undefined, [Symbol.asyncDispose]: async () => {} };
  }
  // Data and server outlive this process when it is killed: the next one finds them here. Each user has their own.
  const directory = join(tmpdir(), `walwatch-example-${process.getuid?.() ?? 'data'}`);
  const cluster = await startCluster({ directory });
  console.log(`database: ${cluster.url}, an embedded PostgreSQL with its data in ${directory}`);
  const pageUrl = new URL(cluster.url);
  pageUrl.username = pageRole;
  return { url: cluster.url, pageUrl: pageUrl.href, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}

export async function createTables({ url, pageUrl }: Database): Promise<void> {
  await inSession(url, async (client) => {
    await client.query(tables);
    if (pageUrl) await client.query(rightsOfPage);
  });
}

/** Whether an earlier run has left its replication slot: then this one goes on where that one was. */
export function hasSlot(url: string, name: string): Promise<boolean> {
  return inSession(url, async (client) => {
    const { rowCount } = await client.query('select from pg_replication_slots where slot_name = $1', [name]);
    return rowCount === 1;
  });
}

/** The database is down or has ended the session, which the watch tells of already: once, not for each statement. */
export function isAway(error: unknown): boolean {
  // Class 57, operator intervention: https://www.postgresql.org/docs/current/errcodes-appendix.html
  if (error instanceof DatabaseError) return error.code?.startsWith('57') === true;
  const { code, message } = error as NodeJS.ErrnoException;
  return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(code ?? '') || message.startsWith('Connection terminated');
}
