import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { wantedVersion } from '../../test/support/binaries.ts';
import { DatabaseError } from 'pg';
import { startCluster } from '../../test/support/cluster.ts';
import { lastingFolder, release } from '../../test/support/server-folder.ts';
import { inSession } from '../../test/support/template.ts';
import { pageRole, rightsOfPage, tables } from './schema.ts';

export interface Database extends AsyncDisposable {
  readonly url: string;
  /** URL of a role that may only read and write the tables of this example. Undefined on DATABASE_URL. */
  readonly pageUrl: string | undefined;
}

/** Uses `DATABASE_URL`, or starts an embedded PostgreSQL and stops it at the end. */
export async function openDatabase(): Promise<Database> {
  const url = process.env['DATABASE_URL'];
  if (url) {
    console.log('database: DATABASE_URL');
    return { url, pageUrl: undefined, [Symbol.asyncDispose]: async () => {} };
  }
  // If this process is killed, data and server stay: the next process finds them here.
  const name = folderName();
  const directory = await lastingFolder(name);
  const cluster = await startCluster({ directory });
  console.log(`database: ${cluster.url}, an embedded PostgreSQL with its data in ${directory}`);
  if (!basename(directory).endsWith(name))
    console.log('the folder of the last run is in use, or not ours: this run uses another one');
  const pageUrl = new URL(cluster.url);
  pageUrl.username = pageRole;
  return {
    url: cluster.url,
    pageUrl: pageUrl.href,
    async [Symbol.asyncDispose]() {
      await cluster[Symbol.asyncDispose]();
      release(directory);
    },
  };
}

/** A folder for each user, clone and version of PostgreSQL. */
function folderName(): string {
  const clone = createHash('sha256')
    .update(import.meta.dirname)
    .digest('hex')
    .slice(0, 8);
  return `example-${process.getuid?.() ?? 'data'}-${clone}-${wantedVersion(process.env)}`;
}

export async function createTables({ url, pageUrl }: Database): Promise<void> {
  await inSession(url, async (client) => {
    await client.query(tables);
    if (pageUrl) await client.query(rightsOfPage);
  });
}

/** Whether an earlier run left its replication slot. Then this run resumes from there. */
export function hasSlot(url: string, name: string): Promise<boolean> {
  return inSession(url, async (client) => {
    const { rowCount } = await client.query('select from pg_replication_slots where slot_name = $1', [name]);
    return rowCount === 1;
  });
}

/** Whether the database is down or ended the session. The watch reports that once, so it is not reported again for each statement. */
export function isAway(error: unknown): boolean {
  // Class 57, operator intervention: https://www.postgresql.org/docs/current/errcodes-appendix.html
  if (error instanceof DatabaseError) return error.code?.startsWith('57') === true;
  const { code, message } = error as NodeJS.ErrnoException;
  return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(code ?? '') || message.startsWith('Connection terminated');
}
