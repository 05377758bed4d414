import { setTimeout as delay } from 'node:timers/promises';
import type { Session } from '../postgres/session.ts';
import { terminateWalsender } from '../setup/walsender.ts';
import type { Connection } from './connection.ts';

/** Milliseconds in which the server ends a stream that is between transactions. */
const endPatience = 30;
/** Milliseconds in which the server records the acknowledged position. */
const confirmPatience = 80;
/** Milliseconds in which a terminated walsender exits. */
const terminationPatience = 500;
/** Milliseconds for advancing the slot without a walsender; less than a watch may take to stop. */
const advancePatience = 1500;
/** Milliseconds between two checks of the slot. */
const interval = 5;

interface SlotFacts {
  /** A walsender uses the slot. */
  readonly active: boolean;
  /** The slot has not reached the acknowledged position. */
  readonly behind: boolean;
}

/**
 * Ends the stream of a connection after its last status update. In the middle of a transaction the server would first
 * send all the rest, which may take minutes, so there its walsender is terminated.
 */
export class Ending {
  readonly #connection: Connection;
  readonly #session: Pick<Session, 'use'>;
  readonly #slot: string;
  /** The acknowledged position. */
  readonly #lsn: string;

  constructor(connection: Connection, session: Pick<Session, 'use'>, lsn: string) {
    this.#connection = connection;
    this.#session = session;
    this.#slot = connection.options.slot.name;
    this.#lsn = lsn;
  }

  /** `inside`: the stream, as far as we have read it, is in the middle of a transaction. */
  async end(inside: boolean): Promise<void> {
    // Inside a transaction a walsender reads our messages only while it cannot send, so we stop reading.
    const known = !inside || (await this.#confirmed());
    const ended = new AbortController();
    const enough = known ? this.#patience(ended.signal).catch(() => {}) : Promise.resolve();
    const inOrder = await this.#connection.end(enough);
    ended.abort();
    if (!inOrder) await this.#cutOff();
  }

  /** Resolves when the server should have ended a stream between transactions: after one round trip at least. */
  async #patience(signal: AbortSignal): Promise<void> {
    await delay(endPatience, undefined, { signal });
    await this.#confirmed();
  }

  /** Whether the slot reaches the acknowledged position in time. False if the server cannot be queried. */
  #confirmed(): Promise<boolean> {
    return this.#look(confirmPatience, ({ behind }) => !behind).catch(() => false);
  }

  /** Terminates the walsender, which would keep the slot until it notices the closed socket, and advances the slot itself. */
  async #cutOff(): Promise<void> {
    const { pid } = this.#connection;
    if (pid === undefined) return;
    await this.#session.use((client) => terminateWalsender(client, this.#slot, pid));
    await this.#look(terminationPatience, ({ active }) => !active);
    const acknowledged = this.#session.use(async (client) => {
      // Advancing reads WAL from the slot's restart_lsn on. If it takes too long we give up: the events are delivered again.
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

  /** Polls the slot until `isDone` or until it no longer exists. Returns whether that happened in time. */
  async #look(time: number, isDone: (facts: SlotFacts) => boolean): Promise<boolean> {
    for (const deadline = performance.now() + time; ; await delay(interval)) {
      const { rows } = await this.#session.use((client) =>
        client.query<SlotFacts>(
          `select active, confirmed_flush_lsn operator(pg_catalog.<) $2::pg_catalog.pg_lsn as behind
           from pg_catalog.pg_replication_slots where slot_name operator(pg_catalog.=) $1`,
          [this.#slot, this.#lsn],
        ),
      );
      if (!rows[0] || isDone(rows[0])) return true;
      if (performance.now() > deadline) return false;
    }
  }
}
