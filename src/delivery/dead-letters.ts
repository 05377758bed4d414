import type { Client } from 'pg';
import { withMigration } from '../postgres/migration.ts';
import { checkOwnTable } from '../postgres/own-tables.ts';
import type { Session } from '../postgres/session.ts';
import { ConfigurationError, WatchError } from '../errors.ts';
import { refuseUnknownKeys } from '../option-names.ts';
import { Interrupted } from './interrupted.ts';
import { annotationsOf, type Letter, type LetterContext } from './letter.ts';
import { LetterWriter, type LetterWriterHost, storable } from './letter-writer.ts';
import { outboxMessageOf } from './message.ts';
import type { Dead } from './recipient.ts';
import { attemptWithin } from './timeout.ts';
import type { DeadLetter, DeadLetterFilter, DeadLetters } from '../types/delivery.ts';

/** What dead letters need from the watch. */
export interface DeadLetterHost extends LetterWriterHost {
  /** Parses an event's texts as when it was received. */
  parse(
    client: Client,
    watcher: string,
    texts: Readonly<Record<string, string | null>>,
    absent: readonly string[],
  ): Promise<Record<string, unknown>>;
  /** The handler of the subscription with this name. Undefined: no such subscription. */
  recipient(subscription: string): Replayed | undefined;
}

/** The subscription that a dead letter is delivered to again. */
export interface Replayed {
  /** Timeout of an attempt in milliseconds. */
  readonly timeout: number | undefined;
  handle(event: unknown, context: { readonly signal: AbortSignal }): Promise<void>;
}

/** A row of the table, with values as PostgreSQL's texts. */
export interface StoredLetter {
  readonly id: string;
  readonly subscription: string;
  readonly watcher: string;
  readonly eventId: string;
  readonly event: Letter['event'];
  readonly context: LetterContext;
  readonly attempts: number;
  readonly error: string;
  /** Milliseconds since 1970. */
  readonly failedAt: number;
}

const columns = `id, subscription, watcher, event_id as "eventId", event::json, context::json, attempts, error,
  (extract(epoch from failed_at) * 1000)::float8 as "failedAt"`;

const pageSize = 100;
const matching = `slot = $1 and ($2::text is null or subscription = $2) and ($3::text is null or watcher = $3)
  and ($4::bigint[] is null or id = any ($4))`;

/**
 * A page of a slot's dead letters in the order of their ids, starting after the id `after`.
 *
 * @throws WatchError PERMISSION when another role owns the table
 */
export async function readLetters(
  client: Client,
  slot: string,
  which: DeadLetterFilter,
  after: string,
): Promise<StoredLetter[]> {
  await checkOwnTable(client, 'dead_letters');
  const { rows } = await client.query<StoredLetter>(
    `select ${columns} from walwatch.dead_letters where ${matching} and id > $5 order by id limit ${pageSize}`,
    [...parameters(slot, which), after],
  );
  return rows;
}

/** The dead letters: events that could not be handled, in the table walwatch.dead_letters. */
export class DeadLetterBox implements DeadLetters {
  readonly #host: DeadLetterHost;
  readonly #writer: LetterWriter;

  constructor(host: DeadLetterHost) {
    this.#host = host;
    this.#writer = new LetterWriter(host);
  }

  /** Writes a dead letter. Rejects, after a warning, if it could not be written. */
  write(dead: Dead): Promise<void> {
    return this.#writer.write(dead);
  }

  /** Stops writing dead letters. */
  close(): void {
    this.#writer.close();
  }

  async *list(which: DeadLetterFilter = {}): AsyncGenerator<DeadLetter> {
    checkLetterFilter(which);
    const session = await this.#host.open();
    try {
      let after = '0';
      for (;;) {
        const rows = await this.#read(session, which, after);
        for (const row of rows) {
          const parsed = await session.use((client) => this.#parse(client, row));
          const event = { ...(outboxMessageOf(row.watcher, parsed) ?? parsed) };
          const { id, subscription, watcher, eventId, attempts, error, failedAt, context } = row;
          const { shortened } = context;
          yield {
            id, subscription, watcher, eventId, event, attempts, error, failedAt: new Date(failedAt), ...(shortened && { shortened }),
          }; // prettier-ignore
        }
        if (rows.length < pageSize) return;
        after = rows.at(-1)!.id;
      }
    } finally {
      session.close();
    }
  }

  async replay(which: DeadLetterFilter = {}): Promise<number> {
    checkLetterFilter(which);
    const session = await this.#host.open();
    let succeeded = 0;
    try {
      let after: string | undefined = '0';
      while (after !== undefined) {
        const outcome: { id: string; succeeded: boolean } | undefined = await session.use((client) =>
          this.#replayNext(client, which, after!),
        );
        if (outcome?.succeeded) succeeded++;
        after = outcome?.id;
      }
      return succeeded;
    } finally {
      session.close();
    }
  }

  async discard(which: DeadLetterFilter): Promise<number> {
    checkLetterFilter(which);
    const { slot, create } = this.#host;
    const session = await this.#host.open();
    try {
      return await session.use((client) =>
        withMigration(client, '001_dead_letters', create, async () => {
          const { rowCount } = await client.query(
            `delete from walwatch.dead_letters where ${matching}`,
            parameters(slot, which),
          );
          return rowCount ?? 0;
        }),
      );
    } finally {
      session.close();
    }
  }

  #read(session: Session, which: DeadLetterFilter, after: string): Promise<StoredLetter[]> {
    const { slot, create } = this.#host;
    return session.use((client) =>
      withMigration(client, '001_dead_letters', create, () => readLetters(client, slot, which, after)),
    );
  }

  /** Parses the values. Shortened values stay as they are: the beginning of a text. */
  async #parse(client: Client, { watcher, event, context }: StoredLetter): Promise<Record<string, unknown>> {
    const { shortened = {}, change } = context;
    const [whole, cut] = [false, true].map((isCut) =>
      Object.fromEntries(Object.entries(event).filter(([name]) => Object.hasOwn(shortened, name) === isCut)),
    );
    return { ...(await this.#host.parse(client, watcher, whole!, change?.absent ?? [])), ...cut };
  }

  /** Replays the next letter. It is locked while its handler runs, so that two concurrent replays do not deliver it twice. */
  async #replayNext(
    client: Client,
    which: DeadLetterFilter,
    after: string,
  ): Promise<{ id: string; succeeded: boolean } | undefined> {
    const { slot, create } = this.#host;
    await withMigration(client, '001_dead_letters', create, () =>
      client.query('select from walwatch.dead_letters limit 0'),
    );
    // The handler may run longer than the server's timeout allows.
    await client.query('begin; set local idle_in_transaction_session_timeout = 0');
    try {
      const { rows } = await client.query<StoredLetter>(
        `select ${columns} from walwatch.dead_letters where ${matching} and id > $5 order by id limit 1 for update skip locked`,
        [...parameters(slot, which), after],
      );
      const row = rows[0];
      const succeeded = row !== undefined && (await this.#redeliver(client, row));
      await client.query('commit');
      return row && { id: row.id, succeeded };
    } catch (error) {
      await client.query('rollback').catch(() => {}); // the first error is thrown
      throw error;
    }
  }

  /** Returns whether the handler succeeded; the letter is deleted then. */
  async #redeliver(client: Client, row: StoredLetter): Promise<boolean> {
    const { id, subscription, attempts, watcher, eventId, context } = row;
    const recipient = this.#host.recipient(subscription);
    if (!recipient) throw noRecipient(subscription, id);
    const { change, commitLsn, xid, shortened } = context;
    if (shortened) {
      this.#host.warn(incomplete(id, shortened));
      return false;
    }
    const event = await this.#parse(client, row);
    const previous = change && (await this.#host.parse(client, watcher, change.previous, []));
    const base = {
      eventId, commitLsn, xid, committedAt: new Date(context.committedAt), annotations: annotationsOf(context), attempt: attempts + 1,
    }; // prettier-ignore
    const whole = change ? { watcher, ...base, existing: false, ...change, previous } : base;
    try {
      await attemptWithin(recipient.timeout, subscription, (signal) => recipient.handle(event, { ...whole, signal }));
      await client.query('delete from walwatch.dead_letters where id = $1', [id]);
      return true;
    } catch (error) {
      if (error instanceof Interrupted) throw error; // it is not the handler's fault
      const update =
        'update walwatch.dead_letters set attempts = attempts + 1, error = $2, failed_at = now() where id = $1';
      await client.query(update, [id, storable(error)]);
      return false;
    }
  }
}

export function noRecipient(subscription: string, id: string): ConfigurationError {
  return new ConfigurationError([
    {
      message: `no subscription '${subscription}' exists to replay the dead letter ${id} to`,
      solution:
        'Subscribe with that name first, or replay only the letters of another subscription: replay({ subscription }).',
    },
  ]);
}

/** Without this check a misspelled key would select all letters. */
export function checkLetterFilter(which: DeadLetterFilter): void {
  refuseUnknownKeys(which, ['subscription', 'watcher', 'ids'] satisfies (keyof DeadLetterFilter)[], 'filter of dead letters'); // prettier-ignore
}

function parameters(slot: string, { subscription, watcher, ids }: DeadLetterFilter): unknown[] {
  return [slot, subscription ?? null, watcher ?? null, ids ?? null];
}

function incomplete(id: string, shortened: Readonly<Record<string, number>>): WatchError {
  const values = Object.entries(shortened).map(([name, length]) => `${name} (${length} characters)`);
  return new WatchError(
    'DEAD_LETTER',
    `the dead letter ${id} cannot be replayed: it has only the beginning of ${values.join(', ')}`,
    {
      solution: `Handle the event manually: read the row by its key, then discard the letter: discard({ ids: ['${id}'] }).`,
    },
  );
}
