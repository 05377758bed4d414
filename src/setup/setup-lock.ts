import type { Client } from 'pg';

/** Of the worker that makes a slot, or makes it anew: the others wait, and then find it there. */
export class SetupLock {
  readonly #client: Client;
  readonly #slot: string;
  #held = false;

  constructor(client: Client, slot: string) {
    this.#client = client;
    this.#slot = slot;
  }

  get held(): boolean {
    return this.#held;
  }

  /** Returns whether it is ours. */
  async take(): Promise<boolean> {
    return (this.#held ||= await this.#query('pg_try_advisory_lock'));
  }

  async release(): Promise<void> {
    if (!this.#held) return;
    this.#held = false;
    await this.#query('pg_advisory_unlock');
  }

  async #query(name: 'pg_try_advisory_lock' | 'pg_advisory_unlock'): Promise<boolean> {
    const { rows } = await this.#client.query<{ done: boolean }>(
      `select pg_catalog.${name}(pg_catalog.hashtext('walwatch setup'), pg_catalog.hashtext($1)) as done`,
      [this.#slot],
    );
    return rows[0]!.done;
  }
}
