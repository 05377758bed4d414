import type { Client } from 'pg';
import type { ResolvedOptions } from '../options.ts';
import type { Session } from '../postgres/session.ts';
import { changeMarker } from '../setup/apply.ts';
import { claimed } from '../setup/marker.ts';
import type { Prepared } from '../setup/prepare.ts';
import { readSlot } from '../setup/slot.ts';

/** The notes a worker leaves in the publication's comment: that it has the slot, and the slot's position when it stopped. */
export class Claim {
  readonly #options: ResolvedOptions;
  readonly #claimant: { readonly worker: string; readonly watchers: readonly string[] };
  #prepared: Prepared | undefined;

  constructor(options: ResolvedOptions, claimant: { readonly worker: string; readonly watchers: readonly string[] }) {
    this.#options = options;
    this.#claimant = claimant;
  }

  /** A new connection: another worker may have had the slot since. */
  connected(): void {
    this.#prepared = undefined;
  }

  /** Runs once per connection. Writes nothing on a standby, for a temporary slot, or if `manage` does not allow it. */
  async make(control: Session, prepared: Prepared): Promise<void> {
    const { manage, slot } = this.#options;
    const { server, confirmedLsn } = prepared;
    if (this.#prepared || manage !== 'create' || server.inRecovery || slot.temporary || confirmedLsn === undefined)
      return;
    this.#prepared = prepared;
    try {
      await control.use((client) =>
        changeMarker(client, this.#options, server, (marker) => claimed(marker, this.#claimant, confirmedLsn)),
      );
    } catch (error) {
      this.#prepared = undefined;
      throw error;
    }
  }

  /** Records the slot's position after the stream has ended. */
  async release(client: Client): Promise<void> {
    if (!this.#prepared) return;
    const { server } = this.#prepared;
    const stopped = (await readSlot(client, this.#options.slot.name, server))?.confirmedFlushLsn;
    if (stopped === undefined) return;
    await changeMarker(client, this.#options, server, (marker) =>
      marker.worker === this.#claimant.worker ? { ...marker, stopped } : marker,
    );
  }
}
