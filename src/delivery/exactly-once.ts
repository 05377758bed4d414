import type { Client } from 'pg';
import { insufficientPrivilege, migrationFor, withMigration } from '../postgres/migration.ts';
import type { Server } from '../postgres/server.ts';
import type { Session } from '../postgres/session.ts';
import type { ConfigurationIssue } from '../errors.ts';
import { formatLsn, parseLsn } from '../postgres/lsn.ts';
import { BatchHandlerContext } from './batch.ts';
import { HandlerContext } from './context.ts';

export interface ExactlyOnceHost {
  readonly slot: string;
  /** The table may be made when it is missing. */
  readonly create: boolean;
  /** A session of one's own. */
  open(): Promise<Session>;
  systemIdentifier(): string;
}

/** What keeps positions from being kept. Makes their table when it is missing and may be made. */
export async function positionIssues(
  client: Client,
  server: Pick<Server, 'inRecovery' | 'role'>,
  create: boolean,
): Promise<ConfigurationIssue[]> {
  if (server.inRecovery) {
    return [
      {
        message: 'transaction: true writes, and the server is a standby',
        solution: 'Connect to the primary, or leave transaction out.',
      },
    ];
  }
  try {
    // Raises when there is no such table, or its schema may not be used.
    await withMigration(client, '002_positions', create, () =>
      client.query(`select 'walwatch.positions'::pg_catalog.regclass`),
    );
    const { rows } = await client.query<{ granted: boolean }>(
      `select pg_catalog.has_table_privilege('walwatch.positions', 'SELECT')
          and pg_catalog.has_table_privilege('walwatch.positions', 'INSERT')
          and pg_catalog.has_table_privilege('walwatch.positions', 'UPDATE') as granted`,
    );
    if (rows[0]!.granted) return [];
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== insufficientPrivilege && code !== 'PERMISSION') throw error;
  }
  return [
    {
      message: `transaction: true keeps positions in the table walwatch.positions, which the role '${server.role}' can neither use nor make`,
      solution: `Let the owner of the database run: ${await migrationFor(server.role, '002_positions')}`,
    },
  ];
}

/** Forgets the positions of a slot that is gone for good: a temporary one. */
export async function forgetPositions(client: Client, slot: string): Promise<void> {
  await client.query('delete from walwatch.positions where slot = $1', [slot]);
}

type Handler = (event: any, context: any) => unknown;

/**
 * Runs a handler inside a transaction that also moves the subscription's position: either both take effect or neither,
 * so that what comes again after a crash is recognized. One event at a time, or a position would pass what is not done.
 */
export class ExactlyOnce {
  readonly #host: ExactlyOnceHost;
  readonly #name: string;
  readonly #handler: Handler;
  #session: Promise<Session> | undefined;

  constructor(host: ExactlyOnceHost, name: string, handler: Handler) {
    this.#host = host;
    this.#name = name;
    this.#handler = handler;
  }

  /** Handles an event unless its position was reached before. */
  async handle(event: unknown, context: HandlerContext): Promise<void> {
    await this.#transaction(async (client) => {
      context.signal.throwIfAborted(); // opening the session may have taken the time
      const fresh =
        context instanceof BatchHandlerContext ? await this.#notReached(client, context) : { events: event, context };
      if (!fresh || !(await this.#advance(client, fresh.context))) return false;
      await this.#handler(fresh.events, Object.assign(fresh.context, { client }));
      // The attempt has failed although the handler went on: what it wrote must not stay.
      context.signal.throwIfAborted();
      return true;
    });
  }

  /** Handles an event that was left behind, wherever the position is. */
  async handleAgain(event: unknown, context: { readonly signal: AbortSignal }): Promise<void> {
    await this.#transaction(async (client) => {
      await this.#handler(event, { ...context, client });
      context.signal.throwIfAborted();
      return true;
    });
  }

  /** Closes its session once what runs has finished. */
  close(): void {
    this.#session?.then((session) => session.use(async () => session.close())).catch(() => {}); // one that is lost needs no closing
    this.#session = undefined;
  }

  /** Cuts its session, and with it the transaction of a handler that still runs. */
  cut(): void {
    this.#session?.then((session) => session.close()).catch(() => {});
    this.#session = undefined;
  }

  async #transaction(work: (client: Client) => Promise<boolean>): Promise<void> {
    const session = await (this.#session ??= this.#open());
    try {
      await session.use(async (client) => {
        await client.query('begin');
        try {
          await client.query((await work(client)) ? 'commit' : 'rollback');
        } catch (error) {
          await client.query('rollback').catch(() => {}); // a lost connection has rolled back by itself
          throw error;
        }
      });
    } catch (error) {
      if (session.isLost) this.#session = undefined; // the next attempt opens another
      throw error;
    }
  }

  async #open(): Promise<Session> {
    try {
      const session = await this.#host.open();
      await session.use((client) =>
        withMigration(client, '002_positions', this.#host.create, () =>
          client.query('select from walwatch.positions limit 0'),
        ),
      );
      return session;
    } catch (error) {
      this.#session = undefined;
      throw error;
    }
  }

  /** What of a batch was not handled before: after a crash batches are cut elsewhere. */
  async #notReached(client: Client, context: BatchHandlerContext) {
    const { rows } = await client.query<{ lsn: string; ordinal: number }>(
      `select commit_lsn::text as lsn, ordinal from walwatch.positions
       where slot = $1 and subscription = $2 and system_identifier = $3 for update`,
      [this.#host.slot, this.#name, this.#host.systemIdentifier()],
    );
    const [row] = rows;
    return BatchHandlerContext.after(context, {
      lsn: row ? parseLsn(row.lsn) : 0n,
      ordinal: Number(row?.ordinal ?? -1),
    });
  }

  /** False: the position was reached before. The row stays locked until the commit, also against a worker that was thought dead. */
  async #advance(client: Client, context: HandlerContext): Promise<boolean> {
    const { lsn, ordinal } = HandlerContext.position(context);
    const { rowCount } = await client.query(
      `insert into walwatch.positions as p (slot, subscription, system_identifier, commit_lsn, ordinal)
       values ($1, $2, $3, $4, $5)
       on conflict (slot, subscription) do update
       set system_identifier = excluded.system_identifier, commit_lsn = excluded.commit_lsn, ordinal = excluded.ordinal
       where p.system_identifier <> excluded.system_identifier
          or (p.commit_lsn, p.ordinal) < (excluded.commit_lsn, excluded.ordinal)`,
      [this.#host.slot, this.#name, this.#host.systemIdentifier(), formatLsn(lsn), ordinal],
    );
    return rowCount === 1;
  }
}
