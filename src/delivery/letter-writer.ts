import type { Client } from 'pg';
import { ConfigurationError, thrownStack, WatchError } from '../errors.ts';
import { withMigration } from '../postgres/migration.ts';
import { checkOwnTable } from '../postgres/own-tables.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import type { Session } from '../postgres/session.ts';
import { fitting, type Letter } from './letter.ts';
import { isAfter, moved, placeOf } from './position.ts';
import { Positions, type PositionsHost } from './positions.ts';
import type { Dead } from './recipient.ts';
import { recorderOf } from './recorder.ts';

export interface LetterWriterHost extends PositionsHost {
  /** Opens a dedicated session. `deadline`: milliseconds per task. */
  open(deadline?: number): Promise<Session>;
  /** Whether only one subscription has this name. */
  unique(subscription: string): boolean;
}

/** Milliseconds for writing a letter, and for waiting for a lock. */
const deadline = 30_000;
const lockTimeout = 2000;
/** jsonb cannot store a value. */
const tooLarge: string = sqlState.programLimitExceeded;
const longestError = 100_000;

/** Writes dead letters over a separate session, so that a lock on their table blocks nothing else. */
export class LetterWriter {
  readonly #host: LetterWriterHost;
  readonly #positions: Positions;
  #opening: Promise<Session> | undefined;
  #session: Session | undefined;
  #written = 0;

  constructor(host: LetterWriterHost) {
    this.#host = host;
    this.#positions = new Positions(host);
  }

  /** Writes a dead letter. Rejects, after a warning, if it could not be written. */
  async write(dead: Dead): Promise<void> {
    const { name } = dead.recipient;
    const { eventId } = dead.deliverable.change;
    try {
      if (!this.#host.unique(name)) throw notUnique(name);
      const letter = dead.deliverable.letter();
      const session = await this.#open();
      await session.use(async (client) => {
        try {
          await this.#insert(client, dead, fitting(letter));
        } catch (error) {
          if ((error as { code?: unknown }).code !== tooLarge) throw error;
          await this.#insert(client, dead, fitting(letter, 10_000, 1_000_000));
        }
      });
    } catch (cause) {
      this.#host.warn(
        new WatchError(
          'DEAD_LETTER',
          `${name}: the dead letter of event ${eventId} could not be written: ${(cause as Error).message}`,
          {
            solution:
              (cause as WatchError).solution ??
              'walwatch keeps the event and tries again; until then the slot does not advance.',
            cause,
          },
        ),
      );
      throw cause;
    }
  }

  close(): void {
    this.#opening?.then((session) => session.close()).catch(() => {});
    this.#opening = this.#session = undefined;
  }

  async #insert(client: Client, { recipient, deliverable, attempts, error }: Dead, letter: Letter): Promise<void> {
    const { slot, create } = this.#host;
    if (recipient.settings.transaction) await this.#positions.prepare(client);
    await withMigration(client, '001_dead_letters', create, () =>
      this.#inTransaction(client, async (attempt) => {
        await client.query(
          `insert into walwatch.dead_letters (slot, subscription, watcher, event_id, event, context, attempts, error)
           values ($1, $2, $3, $4, $5, $6, $7, $8)
           on conflict (slot, subscription, event_id, watcher)
           do update set attempts = excluded.attempts, error = excluded.error, failed_at = excluded.failed_at`,
          [
            slot,
            recipient.name,
            letter.watcher,
            deliverable.change.eventId,
            JSON.stringify(letter.event),
            JSON.stringify(letter.context),
            attempts,
            storable(error),
          ],
        );
        if (!recipient.settings.transaction) return;
        // Record it as well, or after a crash the event would be delivered although it has a letter.
        if (await recordRow(client, deliverable, attempt)) return;
        const place = placeOf(deliverable.change, deliverable.watcher);
        const reached = await this.#positions.lock(client, recipient.name);
        if (isAfter(place, reached))
          await this.#positions.move(client, recipient.name, moved(reached, [place]), attempt);
      }),
    );
  }

  async #inTransaction(client: Client, work: (attempt: string) => Promise<void>): Promise<void> {
    const attempt = String(++this.#written);
    await client.query(`begin; set local lock_timeout = ${lockTimeout}; set local walwatch.attempt = '${attempt}'`);
    try {
      await work(attempt);
      await client.query('commit');
    } catch (error) {
      await client.query('rollback').catch(() => {}); // the first error is thrown
      throw error;
    }
  }

  #open(): Promise<Session> {
    if (this.#opening && !this.#session?.isLost) return this.#opening;
    const opening = (this.#opening = this.#host.open(deadline));
    this.#session = undefined;
    opening.then(
      (session) => {
        if (this.#opening === opening) this.#session = session;
      },
      () => {
        if (this.#opening === opening) this.#opening = undefined;
      },
    );
    return opening;
  }
}

/** An existing row has no position. Returns whether it is one. */
async function recordRow(client: Client, { change, watcher }: Dead['deliverable'], attempt: string): Promise<boolean> {
  const recorder = recorderOf(change);
  if (!recorder) return false;
  await checkOwnTable(client, 'existing');
  const row = { change, watcher };
  const isFresh = await recorder.fresh(client, [row]);
  if (isFresh(change, watcher)) await recorder.record(client, [row], attempt);
  return true;
}

function notUnique(subscription: string): ConfigurationError {
  return new ConfigurationError([
    {
      message: `several subscriptions have the name '${subscription}', but dead letters are stored by subscription name`,
      solution: "Give each subscription a unique name that does not change: { name: 'mailer' }.",
    },
  ]);
}

/** PostgreSQL's texts cannot contain NUL. Very long texts are cut. */
export function storable(error: unknown): string {
  return thrownStack(error).slice(0, longestError).replaceAll('\0', '');
}
