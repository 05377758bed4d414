import type { Client } from 'pg';
import type { WatchError } from '../errors.ts';
import { heldLock } from './lock-holder.ts';

const space = 'walwatch setup';

/** Held by the worker that creates or re-creates a slot. The others wait, and then find the slot. */
export class SetupLock {
  readonly #client: Client;
  readonly #slot: string;
  #isOurs = false;

  constructor(client: Client, slot: string) {
    this.#client = client;
    this.#slot = slot;
  }

  get isOurs(): boolean {
    return this.#isOurs;
  }

  /** Returns whether this session has the lock. */
  async take(): Promise<boolean> {
    return (this.#isOurs ||= await this.#query('pg_try_advisory_lock'));
  }

  async release(): Promise<void> {
    if (!this.#isOurs) return;
    this.#isOurs = false;
    await this.#query('pg_advisory_unlock');
  }

  /** The error if the lock could not be taken in time. Undefined: it is free now. */
  async holder(): Promise<WatchError | undefined> {
    return heldLock(this.#client, [space, this.#slot], {
      code: 'SLOT_BLOCKED',
      what: `creating the slot '${this.#slot}'`,
    });
  }

  async #query(name: 'pg_try_advisory_lock' | 'pg_advisory_unlock'): Promise<boolean> {
    const { rows } = await this.#client.query<{ done: boolean }>(
      `select pg_catalog.${name}(pg_catalog.hashtext($1), pg_catalog.hashtext($2)) as done`,
      [space, this.#slot],
    );
    return rows[0]!.done;
  }
}
