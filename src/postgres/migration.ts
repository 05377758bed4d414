import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { WatchError } from '../errors.ts';
import { migrations } from './migrations.ts';
import { checkOwnTable, type OwnTable } from './own-tables.ts';
import { quoteIdentifier } from './server.ts';
import { sqlState } from './sqlstate.ts';

export type Migration = keyof typeof migrations;

/**
 * Runs a task that needs the table of a migration. If the table is missing or has an older version, and `create` is true, it runs
 * the migration and then the task again. The task must not be inside a transaction.
 *
 * @throws WatchError PERMISSION if the table is missing and cannot be created, or belongs to another role
 */
export async function withMigration<T>(
  client: Client,
  migration: Migration,
  create: boolean,
  task: () => Promise<T>,
): Promise<T> {
  await checkOwnTable(client, tableOf(migration));
  try {
    return await task();
  } catch (error) {
    const { code } = error as { code?: string };
    // The table is missing, or has an older version.
    if (!outdated.includes(code)) throw error;
    if (!create) throw missing(migration, error);
    await migrate(client, migration);
    await checkOwnTable(client, tableOf(migration)); // another role may have been faster
    return await task();
  }
}

const outdated: readonly (string | undefined)[] = [
  sqlState.undefinedTable,
  sqlState.undefinedColumn,
  sqlState.invalidColumnReference, // no unique index on the columns of ON CONFLICT
  sqlState.invalidSchemaName,
];

function tableOf(migration: Migration): OwnTable {
  return migration.slice('000_'.length) as OwnTable;
}

/** The SQL for a DBA and this role: the statements of the file, with its grants. */
export function migrationFor(role: string, migration: Migration): string {
  const statements = migrations[migration]
    .replaceAll(/^-- (GRANT .*) TO walwatch;$/gm, (_, grant: string) => `${grant} TO ${quoteIdentifier(role)};`)
    .replaceAll(/^\s*--.*$/gm, '');
  return statements.trim().replaceAll(/\s+/g, ' ');
}

async function migrate(client: Client, migration: Migration): Promise<void> {
  for (let races = 1; ; races++) {
    try {
      await client.query(migrations[migration]);
      return;
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === sqlState.insufficientPrivilege) throw missing(migration, error);
      // IF NOT EXISTS does not prevent a conflict between two workers that create the same object at the same time. PostgreSQL
      // reports it even before this session can see the object: the other one sends its invalidation messages after its commit.
      // https://github.com/postgres/postgres/blob/master/src/backend/access/transam/xact.c: CommitTransaction
      if (!made.includes(code) || races === racesLimit) throw error;
      await delay(waitInterval * races);
    }
  }
}

/** Milliseconds. */
const waitInterval = 20;
const racesLimit = 10;

/** Another session made the schema, the table, or the type of the table's rows. */
const made: readonly (string | undefined)[] = [
  sqlState.uniqueViolation,
  sqlState.duplicateSchema,
  sqlState.duplicateTable,
  sqlState.duplicateObject,
];

function missing(migration: Migration, cause: unknown): WatchError {
  return new WatchError(
    'PERMISSION',
    `the table of sql/migrations/${migration}.sql is missing or has an older version`,
    {
      solution: `As the owner of the database, run node_modules/walwatch/sql/migrations/${migration}.sql with its grants.`,
      cause,
    },
  );
}
