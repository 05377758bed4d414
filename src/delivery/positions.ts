import type { Client, CustomTypesConfig } from 'pg';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import { formatLsn, parseLsn } from '../postgres/lsn.ts';
import { migrationFor, withMigration } from '../postgres/migration.ts';
import { checkOwnTable, foreignTable } from '../postgres/own-tables.ts';
import { inOrder } from '../postgres/round-trip.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import type { Server } from '../postgres/server.ts';
import { nowhere, type Position } from './position.ts';

/** The server history that the stream comes from. */
export interface History {
  /** Empty: not known yet. */
  readonly systemIdentifier: string;
  /** 0: not known yet. */
  readonly timeline: number;
}

export interface PositionsHost {
  readonly slot: string;
  /** The table may be created if it is missing. */
  readonly create: boolean;
  history(): History;
  warn(warning: WatchError): void;
}

/** Handlers' sessions use the application's search path, so even operators need their schema. */
const ofSubscription = 'slot operator(pg_catalog.=) $1 and subscription operator(pg_catalog.=) $2';
/** They may also use the application's type parsers. */
const types = { getTypeParser: () => (text: string) => text } as CustomTypesConfig;

/** The positions of subscriptions with `transaction: true`, in the table walwatch.positions. */
export class Positions {
  readonly #host: PositionsHost;

  constructor(host: PositionsHost) {
    this.#host = host;
  }

  /** Creates the table if it is missing and may be created. */
  async prepare(client: Client): Promise<void> {
    await withMigration(client, '002_positions', this.#host.create, () =>
      client.query('select timeline, watchers from walwatch.positions limit 0'),
    );
  }

  /**
   * Reads a subscription's position and locks its row until the transaction ends, which also stops another worker that was
   * thought dead.
   */
  async lock(client: Client, subscription: string): Promise<Position> {
    const { slot } = this.#host;
    const { systemIdentifier, timeline } = this.#host.history();
    const query = {
      types,
      text: `select system_identifier, timeline::pg_catalog.text, commit_lsn::pg_catalog.text as lsn, ordinal::pg_catalog.text,
               pg_catalog.array_to_json(watchers)::pg_catalog.text as watchers,
               (commit_lsn operator(pg_catalog.>) pg_catalog.pg_current_wal_insert_lsn())::pg_catalog.text as ahead
             from walwatch.positions where ${ofSubscription} for update`,
      values: [slot, subscription],
    };
    let { rows } = await client.query<Row>(query);
    if (rows.length === 0) {
      await client.query(
        `insert into walwatch.positions (slot, subscription, system_identifier, timeline, commit_lsn, ordinal)
         values ($1, $2, $3, $4, '0/0', -1) on conflict do nothing`,
        [slot, subscription, systemIdentifier, timeline],
      );
      ({ rows } = await client.query<Row>(query)); // another worker may have inserted it first
    }
    const row = rows[0]!;
    if (row.system_identifier !== systemIdentifier) return nowhere;
    // A promotion does not make positions invalid: a replicated row is older than the promotion, and so is the commit it names.
    if (row.ahead === 'true') {
      this.#host.warn(refused(subscription, row));
      return nowhere;
    }
    const watchers = row.watchers === null ? undefined : (JSON.parse(row.watchers) as string[]);
    return { lsn: parseLsn(row.lsn), ordinal: Number(row.ordinal), watchers };
  }

  /** Moves the position if the session is still in the attempt's transaction. Returns whether it is. */
  async move(client: Client, subscription: string, position: Position, attempt: string): Promise<boolean> {
    const { systemIdentifier, timeline } = this.#host.history();
    const { lsn, ordinal, watchers } = position;
    const { rowCount } = await client.query(
      `update walwatch.positions set system_identifier = $3, timeline = $4, commit_lsn = $5, ordinal = $6, watchers = $7
       where ${ofSubscription} and pg_catalog.current_setting('walwatch.attempt', true) operator(pg_catalog.=) $8`,
      [this.#host.slot, subscription, systemIdentifier, timeline, formatLsn(lsn), ordinal, watchers, attempt],
    );
    return rowCount === 1;
  }
}

interface Row {
  readonly system_identifier: string;
  readonly timeline: string | null;
  readonly lsn: string;
  readonly ordinal: string;
  readonly watchers: string | null;
  readonly ahead: string;
}

function refused(subscription: string, { lsn, timeline }: Row): WatchError {
  return new WatchError(
    'POSITION_REFUSED',
    `${subscription}: the position ${lsn} in walwatch.positions (timeline ${timeline ?? 'unknown'}) is beyond the end of the server's WAL`,
    {
      solution:
        'The position belongs to a history that this server does not have. walwatch ignores it and handles the events it receives. Check whether the last events before the failover or restore were handled twice.',
    },
  );
}

/** Reasons why positions cannot be stored. Creates their table if it is missing and may be created. */
export async function positionIssues(
  client: Client,
  server: Pick<Server, 'inRecovery' | 'role'>,
  create: boolean,
): Promise<ConfigurationIssue[]> {
  if (server.inRecovery) {
    return [
      {
        message: 'transaction: true needs a primary, but the server is a standby',
        solution: 'Connect to the primary, or remove the option transaction.',
      },
    ];
  }
  const foreign = await foreignTable(client, 'positions');
  if (foreign) return [{ message: foreign.message, solution: foreign.solution, table: 'walwatch.positions' }];
  try {
    // Fails if the table does not exist or its schema may not be used.
    const [, , { rows }] = await withMigration(client, '002_positions', create, () =>
      inOrder([
        client.query(`select 'walwatch.positions'::pg_catalog.regclass`),
        // Works without a privilege on the table: 42703 means that the column is missing.
        client.query(`select pg_catalog.has_column_privilege('walwatch.positions', 'watchers', 'SELECT')`),
        client.query<{ granted: boolean }>(
          `select pg_catalog.has_table_privilege('walwatch.positions', 'SELECT')
              and pg_catalog.has_table_privilege('walwatch.positions', 'INSERT')
              and pg_catalog.has_table_privilege('walwatch.positions', 'UPDATE') as granted`,
        ),
      ]),
    );
    if (rows[0]!.granted) return [];
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== sqlState.insufficientPrivilege && code !== 'PERMISSION') throw error;
  }
  return [
    {
      message: `transaction: true stores positions in the table walwatch.positions, which the role '${server.role}' can neither use nor create`,
      solution: `As the owner of the database, run: ${migrationFor(server.role, '002_positions')}`,
    },
  ];
}

/** Deletes the positions of a temporary slot that no longer exists. */
export async function forgetPositions(client: Client, slot: string): Promise<void> {
  await checkOwnTable(client, 'positions');
  await client.query('delete from walwatch.positions where slot = $1', [slot]);
}
