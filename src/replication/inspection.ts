import type { Session } from '../catalog/session.ts';
import type { WatchError } from '../errors.ts';
import { handlerSlow, type RetainedWalMonitor } from '../observe/held-back.ts';
import type { HeldBy } from '../observe/types.ts';
import { type Lsn, parseLsn } from './lsn.ts';
import type { Prepared } from './prepare.ts';
import { fallenOut, publicationLost, readFallenOut, readPublicationOid } from './publication.ts';

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
  warn(warning: WatchError): void;
  warnOnce(warnings: readonly WatchError[]): void;
}

/** What is looked at from time to time while streaming, because nothing in the stream tells of it. */
export class Inspection {
  readonly #host: InspectionHost;
  /** The last one that was warned of. */
  #slowEvent: string | undefined;

  constructor(host: InspectionHost) {
    this.#host = host;
  }

  /** @throws WatchError PUBLICATION_LOST */
  async run(session: Session, { needs, publicationOid, server }: Prepared): Promise<void> {
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
    this.#host.warnOnce(lost.map(({ table, oid }) => fallenOut(needs.name, table, oid)));
  }

  #warnOfSlowness(heldBy: HeldBy | undefined): void {
    if (!heldBy || heldBy.eventId === this.#slowEvent || Date.now() - heldBy.since.getTime() < slowAfter) return;
    this.#slowEvent = heldBy.eventId;
    this.#host.warn(handlerSlow(heldBy));
  }
}
