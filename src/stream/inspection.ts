import type { Client } from 'pg';
import type { Session } from '../postgres/session.ts';
import type { WatchError } from '../errors.ts';
import { readServer, type Server } from '../postgres/server.ts';
import { handlerSlow, type RetainedWalMonitor } from './held-back.ts';
import type { Logger } from '../types/logger.ts';
import type { HeldBy } from '../types/events.ts';
import { type Lsn, parseLsn } from '../postgres/lsn.ts';
import type { Prepared } from '../setup/prepare.ts';
import { readRefusals } from '../setup/push-down.ts';
import { fallenOut, publicationLost, readFallenOut, readPublicationOid } from '../setup/publication.ts';

/** Milliseconds after which an event that is not done is warned of. */
const slowAfter = 10_000;

export interface InspectionHost {
  readonly slot: string;
  readonly publication: string;
  readonly retainedWal: RetainedWalMonitor;
  /** The last position that was acknowledged. */
  confirmed(): string | undefined;
  heldBy(): HeldBy | undefined;
  /** Where the server's WAL ends. */
  serverReached(lsn: Lsn): void;
  /** Takes from the publication what nobody needs. Returns what it ran. */
  narrow(client: Client, prepared: Prepared): Promise<readonly string[]>;
  /** @throws WatchError SYNCHRONOUS_STANDBY */
  standbyWarnings(server: Server): Iterable<WatchError>;
  readonly log: Logger;
  warn(warning: WatchError): void;
  warnOnce(warnings: readonly WatchError[]): void;
}

/** What is looked at from time to time while streaming, because nothing in the stream tells of it. */
export class Inspection {
  readonly #host: InspectionHost;
  /** The publication carries just what is needed. */
  #narrowed = false;
  /** The last one that was warned of. */
  #slowEvent: string | undefined;

  constructor(host: InspectionHost) {
    this.#host = host;
  }

  /** At each connection, once the slot is ours. */
  connected(): void {
    this.#narrowed = false;
  }

  /** @throws WatchError PUBLICATION_LOST */
  async run(session: Session, prepared: Prepared): Promise<void> {
    if (!this.#narrowed) await this.#narrow(session, prepared);
    const { needs, publicationOid, server } = prepared;
    const { slot, publication, retainedWal } = this.#host;
    const heldBy = this.#host.heldBy();
    const end = await session.use((client) =>
      retainedWal.inspect(client, server.maxSlotWalKeepSize, heldBy?.subscription),
    );
    if (end !== undefined) this.#host.serverReached(parseLsn(end));
    this.#warnOfSlowness(this.#host.heldBy());
    // From PostgreSQL 18 on changes are passed over in silence while it is missing.
    if ((await session.use((client) => readPublicationOid(client, publication))) !== publicationOid) {
      throw publicationLost(
        `the publication '${publication}' was dropped while it was in use (last acknowledged: ${this.#host.confirmed()})`,
        { slot, publication },
      );
    }
    const lost = await session.use((client) => readFallenOut(client, needs));
    this.#host.warnOnce(
      lost.map(({ table, oid }) => fallenOut(needs.name, table, oid, needs.pushedDown.get(table.oid))),
    );
    this.#host.warnOnce(await session.use((client) => readRefusals(client, needs, server)));
  }

  /** Commits may wait for our acknowledgement. @throws WatchError SYNCHRONOUS_STANDBY */
  async checkSynchronous(session: Session): Promise<void> {
    const { standbyWarnings } = this.#host;
    this.#host.warnOnce([...standbyWarnings(await session.use(readServer))]);
  }

  /** Now that the slot is ours, nobody else needs what our watchers do not. A lock that is not to be had is tried again later. */
  async #narrow(session: Session, prepared: Prepared): Promise<void> {
    const { log } = this.#host;
    try {
      const statements = await session.use((client) => this.#host.narrow(client, prepared));
      this.#narrowed = true;
      if (statements.length > 0) log.info({ statements }, 'the publication carried more than is needed');
    } catch (error) {
      log.warn({ err: error }, 'the publication still carries more than is needed');
    }
  }

  #warnOfSlowness(heldBy: HeldBy | undefined): void {
    if (!heldBy || heldBy.eventId === this.#slowEvent || Date.now() - heldBy.since.getTime() < slowAfter) return;
    this.#slowEvent = heldBy.eventId;
    this.#host.warn(handlerSlow(heldBy));
  }
}
