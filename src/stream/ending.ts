import { setTimeout as delay } from 'node:timers/promises';
import type { Session } from '../postgres/session.ts';
import { terminateWalsender } from '../setup/walsender.ts';
import type { Connection } from './connection.ts';

/** Milliseconds in which a server ends the stream that is not in the middle of a transaction. */
const endPatience = 30;
/** Milliseconds until it has taken note of what is acknowledged. */
const confirmPatience = 80;
/** Milliseconds for a walsender to end that was told to. */
const terminationPatience = 500;
/** Milliseconds for the slot to move without a walsender: less than a watch takes to stop. */
const advancePatience = 1500;
/** Milliseconds between two looks at the slot. */
const interval = 5;

interface SlotFacts {
  /** A walsender has it. */
  readonly active: boolean;
  /** It has not come to the position. */
  readonly behind: boolean;
}

/**
 * Ends the stream of a connection whose last status update was sent. In the middle of a transaction the server would send
 * all of it first, which may take minutes: there it is cut off.
 */
export class Ending {
  readonly #connection: Connection;
  readonly #session: Pick<Session, 'use'>;
  readonly #slot: string;
  /** What was acknowledged. */
  readonly #lsn: string;

  constructor(connection: Connection, session: Pick<Session, 'use'>, lsn: string) {
    this.#connection = connection;
    this.#session = session;
    this.#slot = connection.options.slot.name;
    this.#lsn = lsn;
  }

  /** `inside`: in the middle of a transaction, as far as we have read. */
  async end(inside: boolean): Promise<void> {
    // There a walsender looks at what we send only when it cannot send more itself, so nothing is read meanwhile.
    const known = !inside || (await this.#confirmed());
    const ended = new AbortController();
    const enough = known ? this.#patience(ended.signal).catch(() => {}) : Promise.resolve();
    const inOrder = await this.#connection.end(enough);
    ended.abort();
    if (!inOrder) await this.#cutOff();
  }

  /** Until a server must have ended the stream that is between transactions: a round trip, at least. */
  async #patience(signal: AbortSignal): Promise<void> {
    await delay(endPatience, undefined, { signal });
    await this.#confirmed();
  }

  /** Whether the slot has come to the position that was acknowledged, or does so in time. A server that cannot be asked has not said so. */
  #confirmed(): Promise<boolean> {
    return this.#look(confirmPatience, ({ behind }) => !behind).catch(() => false);
  }

  /** Ends the walsender, which would keep the slot until it notices that nobody listens, and acknowledges in its place. */
  async #cutOff(): Promise<void> {
    const { pid } = this.#connection;
    if (pid === undefined) return;
    await this.#session.use((client) => terminateWalsender(client, this.#slot, pid));
    await this.#look(terminationPatience, ({ active }) => !active);
    const acknowledged = this.#session.use(async (client) => {
      // It reads the WAL from the slot's restart_lsn on. What takes long is not waited for: it only comes again.
      await client.query(`set statement_timeout = ${advancePatience}`);
      await client.query(
        `select pg_catalog.pg_replication_slot_advance(slot_name, $2::pg_catalog.pg_lsn) from pg_catalog.pg_replication_slots
         where slot_name operator(pg_catalog.=) $1 and not active
           and confirmed_flush_lsn operator(pg_catalog.<) $2::pg_catalog.pg_lsn`,
        [this.#slot, this.#lsn],
      );
    });
    await acknowledged.catch(() => {}); // or another worker was faster
  }

  /** Looks at the slot until it is as wanted, or is gone. Returns whether that came in time. */
  async #look(time: number, isWanted: (facts: SlotFacts) => boolean): Promise<boolean> {
    for (const deadline = performance.now() + time; ; await delay(interval)) {
      const { rows } = await this.#session.use((client) =>
        client.query<SlotFacts>(
          `select active, confirmed_flush_lsn operator(pg_catalog.<) $2::pg_catalog.pg_lsn as behind
           from pg_catalog.pg_replication_slots where slot_name operator(pg_catalog.=) $1`,
          [this.#slot, this.#lsn],
        ),
      );
      if (!rows[0] || isWanted(rows[0])) return true;
      if (performance.now() > deadline) return false;
    }
  }
}
