/** A database for each test file, cloned from the template. */
import { randomBytes } from 'node:crypto';
import { Client, Pool, type ClientConfig, type QueryResultRow } from 'pg';
import { afterAll, beforeAll, inject } from 'vitest';
import { type ClusterOptions, startCluster } from './cluster.ts';
import { leftInDatabase } from './leftovers.ts';
import { createTemplate, inSession, template, urlOf } from './template.ts';
import { until } from './until.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The server of the run, which test/support/server.ts has chosen. `version`: 14, 15 … */
    readonly server: { readonly url: string; readonly version: number };
  }
}

export interface Database {
  readonly url: string;
  readonly name: string;
  /** The rows. Each call may run in another session. */
  sql<Row extends QueryResultRow = QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** A separate session, connected, closed with the database. */
  client(config?: ClientConfig): Promise<Client>;
  /** Waits until the slot is inactive, and drops it. */
  dropSlot(name: string): Promise<void>;
}

/** At the top of a test file or describe: its database, on the server of the run. */
export function useDatabase(): Database {
  return databaseMadeBy(() => createDatabase(inject('server').url));
}

/** The same on a separate server, for tests that would disturb all databases of a server. */
export function useOwnServer(options?: ClusterOptions): Database {
  return databaseMadeBy(async () => {
    const cluster = await startCluster(options);
    const database = await createDatabase(cluster.url);
    const dispose = async () => {
      await database[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    };
    return { ...database, [Symbol.asyncDispose]: dispose };
  });
}

function databaseMadeBy(make: () => Promise<Database & AsyncDisposable>): Database {
  let database: (Database & AsyncDisposable) | undefined;
  beforeAll(async () => {
    database = await make();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());
  const made = () => {
    if (!database) throw new Error('the database is made in beforeAll: use it in hooks and tests');
    return database;
  };
  return {
    get url() {
      return made().url;
    },
    get name() {
      return made().name;
    },
    sql: (text, values) => made().sql(text, values),
    client: (config) => made().client(config),
    dropSlot: (name) => made().dropSlot(name),
  };
}

/**
 * On any server, for example a cluster of the test. Disposing of it fails if slots or sessions are left in it, but
 * gives them `patience` milliseconds: the server needs a moment to end a session that its client has closed.
 */
export async function createDatabase(serverUrl: string, patience = 5_000): Promise<Database & AsyncDisposable> {
  const name = `walwatch_test_${randomBytes(6).toString('hex')}`;
  const url = urlOf(serverUrl, name);
  const templates = await inSession(serverUrl, (client) =>
    client.query('select from pg_database where datname = $1', [template]),
  );
  if (templates.rowCount === 0) await createTemplate(serverUrl);
  await inSession(serverUrl, (client) => client.query(`create database ${name} template ${template}`));

  const clients: Client[] = [];
  const pool = new Pool({ connectionString: url, idleTimeoutMillis: 0 });
  pool.on('error', ignore);
  const sql = async <Row extends QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> => {
    const result = await pool.query<Row>(text, [...values]);
    return result.rows;
  };
  return {
    url,
    name,
    sql,
    async dropSlot(slot) {
      await until(
        async () => {
          const [found] = await sql('select active from pg_replication_slots where slot_name = $1', [slot]);
          return found?.['active'] !== true;
        },
        { describe: `the slot ${slot} to be inactive` },
      );
      await sql('select pg_drop_replication_slot($1)', [slot]);
    },
    async client(config) {
      const client = new Client({ connectionString: url, ...config });
      client.on('error', ignore);
      clients.push(client);
      await client.connect();
      return client;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([pool.end(), ...clients.map((client) => client.end())]);
      try {
        await inSession(url, (client) => nothingLeft(client, patience));
      } finally {
        await inSession(serverUrl, (client) => dropDatabase(client, name));
      }
    },
  };
}

/** A session that the server ends, as in fault tests, fails at its next use. */
const ignore = () => {};

async function nothingLeft(client: Client, timeout: number): Promise<void> {
  let left: string[] = [];
  await until(async () => (left = await leftInDatabase(client)).length === 0, {
    describe: () => `the end of leftovers: ${left.join('; ')}`,
    timeout,
  });
}

async function dropDatabase(client: Client, name: string): Promise<void> {
  const slots = `from pg_replication_slots where database = '${name}'`;
  await until(
    async () => {
      await client.query(`select pg_terminate_backend(active_pid) ${slots} and active_pid is not null`);
      await client.query(`select pg_drop_replication_slot(slot_name) ${slots} and active_pid is null`);
      return (await client.query(`select ${slots}`)).rowCount === 0;
    },
    { describe: `the slots of ${name} to be dropped` },
  );
  await client.query(`drop database ${name} with (force)`);
}
