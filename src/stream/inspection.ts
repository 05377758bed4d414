import type { Client } from 'pg';
import type { Session } from '../postgres/session.ts';
import { endsSession, sqlStateOf } from '../postgres/sqlstate.ts';
import { readStandbySlots, standbysBehind } from '../postgres/standby-slots.ts';
import { readTables } from '../postgres/tables.ts';
import { WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import { handlerSlow, type RetainedWalMonitor } from './held-back.ts';
import type { Logger } from '../types/logger.ts';
import type { HeldBy } from '../types/events.ts';
import { type Lsn, parseLsn } from '../postgres/lsn.ts';
import { standbyWarnings } from '../setup/judge.ts';
import type { Prepared } from '../setup/prepare.ts';
import { type FilterTexts, publicationLost, type PublicationNeeds, readPublication } from '../setup/publication.ts';
import { changedPublication, drift } from './drift.ts';
import { controlName } from './holding-note.ts';
import { readIdleSlots, strayWarnings } from '../setup/stray-slots.ts';
import type { Seen } from './refusals.ts';

/** Milliseconds after which an event that is not done is warned of. */
const slowAfter = 10_000;

/** Milliseconds for one query. The session waits less than that for a lock, which a migration may hold for hours. */
const queryTimeout = 5000;

export interface InspectionHost {
  readonly retainedWal: RetainedWalMonitor;
  /** The last position that was acknowledged. */
  confirmed(): string | undefined;
  heldBy(): HeldBy | undefined;
  /** Where the server's WAL ends. */
  serverReached(lsn: Lsn): void;
  /** Takes from the publication what nobody needs. Returns what it ran. */
  narrow(client: Client, prepared: Prepared): Promise<readonly string[]>;
  readonly log: Logger;
  warn(warning: WatchError): void;
  warnOnce(warnings: Iterable<WatchError>): void;
  /** What was warned of once is over: it is told again if it comes back. */
  over(warnings: Iterable<WatchError>): void;
}

/** What the server says of itself in an inspection. */
interface Vitals {
  readonly inRecovery: boolean;
  readonly synchronousStandbyNames: string;
  /** Bytes; undefined: no limit. */
  readonly maxSlotWalKeepSize: number | undefined;
}

/** What is looked at from time to time while streaming, because nothing in the stream tells of it. */
export class Inspection {
  readonly #options: ResolvedOptions;
  readonly #host: InspectionHost;
  readonly #texts: FilterTexts = new Map();
  /** The publication carries just what is needed. */
  #narrowed = false;
  /** What the publication left out when streaming began, as `changedPublication` says it. */
  #accepted: string | undefined;
  /** Slots of earlier names were looked for. */
  #soughtStrays = false;
  /** The last one that was warned of. */
  #slowEvent: string | undefined;
  #found: readonly WatchError[] = [];
  /** Sessions that were named after an event that fails, with the name that each has now. */
  readonly #names = new WeakMap<Session, string>();
  /** Over which an inspection has no answer yet. */
  #asked: Session | undefined;

  constructor(options: ResolvedOptions, host: InspectionHost) {
    this.#options = options;
    this.#host = host;
  }

  /** What the last inspection found, each told by a warning when it was found first. */
  get found(): readonly WatchError[] {
    return this.#found;
  }

  /** At each connection, once the slot is ours. */
  connected({ needs, publication, tables, server }: Prepared): void {
    this.#narrowed = false;
    this.#accepted = changedPublication(needs, { publication, tables, server })?.message;
  }

  /**
   * A server that does not answer in time, or a lock that it waits for, is warned of, and the next inspection tries again.
   *
   * @throws WatchError PUBLICATION_LOST, SYNCHRONOUS_STANDBY, and what the session was lost with
   */
  async run(session: Session, prepared: Prepared): Promise<void> {
    if (this.#asked === session) return;
    this.#asked = session;
    this.#warnOfSlowness(this.#host.heldBy());
    try {
      await this.#name(session);
      const synchronous = await session.use((client) => bounded(client, () => this.#begin(client, prepared)));
      const found = await session.use((client) => bounded(client, () => this.#look(client, prepared)));
      this.#tell([...synchronous, ...found]);
    } catch (error) {
      if (session.isLost || error instanceof WatchError || endsSession(sqlStateOf(error) ?? '')) throw error;
      this.#tell([...this.#found.filter(({ code }) => code !== 'SERVER_BUSY'), inspectionFailed(error)]);
    } finally {
      if (this.#asked === session) this.#asked = undefined;
    }
  }

  /**
   * Whether commits have come to wait for our acknowledgement: the setting can change at any time.
   *
   * @throws WatchError SYNCHRONOUS_STANDBY, if we would wait for such a commit to become visible
   */
  async checkSynchronous(session: Session): Promise<void> {
    this.#host.warnOnce(await session.use((client) => this.#synchronous(client)));
  }

  /** For whoever looks at the database: an event that fails is known to nobody else. */
  async #name(session: Session): Promise<void> {
    const slot = this.#options.slot.name;
    const name = controlName(slot, this.#host.heldBy());
    if (name === (this.#names.get(session) ?? controlName(slot, undefined))) return;
    await session.use((client) => client.query(`select pg_catalog.set_config('application_name', $1, false)`, [name]));
    this.#names.set(session, name);
  }

  /** On a standby nothing commits. */
  async #synchronous(client: Client): Promise<readonly WatchError[]> {
    const { inRecovery, synchronousStandbyNames } = await readVitals(client);
    return inRecovery ? [] : standbyWarnings({ synchronousStandbyNames }, this.#options);
  }

  /** What is written here would wait for our acknowledgement as well. */
  async #begin(client: Client, prepared: Prepared): Promise<readonly WatchError[]> {
    const synchronous = await this.#synchronous(client);
    if (!this.#narrowed) await this.#narrow(client, prepared);
    if (!this.#soughtStrays) await this.#seekStrays(client, prepared);
    return synchronous;
  }

  /** Once, at the start: who renames a slot forgets the old one. */
  async #seekStrays(client: Client, { bound, server }: Prepared): Promise<void> {
    const { manage, slot } = this.#options;
    this.#soughtStrays = true;
    if (manage !== 'create' || slot.temporary || server.inRecovery) return;
    const watchers = bound.map(({ watcher }) => watcher.name);
    this.#host.warnOnce(strayWarnings(await readIdleSlots(client, slot.name, server), slot.name, watchers));
  }

  async #look(client: Client, { needs, bound, publicationOid, server }: Prepared): Promise<WatchError[]> {
    const { retainedWal } = this.#host;
    const slot = this.#options.slot.name;
    const vitals = await readVitals(client);
    const end = await retainedWal.inspect(client, vitals.maxSlotWalKeepSize, this.#host.heldBy()?.subscription);
    if (end !== undefined) this.#host.serverReached(parseLsn(end));
    const standbys = await readStandbySlots(client, slot, server);
    const publication = await readPublication(client, needs.name, server, this.#texts);
    // From PostgreSQL 18 on changes are passed over in silence while it is missing.
    if (publication?.oid !== publicationOid) {
      throw publicationLost(
        `the publication '${needs.name}' was dropped while it was in use (last acknowledged: ${this.#host.confirmed()})`,
        { slot, publication: needs.name },
      );
    }
    const tables = await readTables(client, needs.tables);
    const found = { publication, tables, server };
    return [...standbysBehind(slot, standbys), ...this.#changes(needs, found), ...drift(needs, bound, found)];
  }

  /** What the publication has come to leave out since streaming began: then it may have had the filters of another worker. */
  #changes(needs: PublicationNeeds, found: Seen): WatchError[] {
    const changed = changedPublication(needs, found);
    if (changed === undefined) this.#accepted = undefined;
    return changed && changed.message !== this.#accepted ? [changed] : [];
  }

  /** Warns of what was not found the last time. What went away and came back is told again. */
  #tell(found: readonly WatchError[]): void {
    const messages = new Set(found.map(({ message }) => message));
    this.#host.over(this.#found.filter(({ message }) => !messages.has(message)));
    this.#found = found;
    this.#host.warnOnce(found);
  }

  /** Now that the slot is ours, nobody else needs what our watchers do not. A lock that is not to be had is tried again later. */
  async #narrow(client: Client, prepared: Prepared): Promise<void> {
    const { log } = this.#host;
    try {
      const statements = await this.#host.narrow(client, prepared);
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

async function bounded<T>(client: Client, task: () => Promise<T>): Promise<T> {
  await client.query(`set statement_timeout = ${queryTimeout}`);
  try {
    return await task();
  } finally {
    await client.query('reset statement_timeout').catch(() => {}); // the connection may be what failed
  }
}

async function readVitals(client: Client): Promise<Vitals> {
  const { rows } = await client.query(
    `select pg_catalog.pg_is_in_recovery() as "inRecovery",
            pg_catalog.current_setting('synchronous_standby_names') as "synchronousStandbyNames",
            (select setting::float8 from pg_catalog.pg_settings where name = 'max_slot_wal_keep_size') as megabytes`,
  );
  const { megabytes, ...vitals } = rows[0];
  return { ...vitals, maxSlotWalKeepSize: megabytes < 0 ? undefined : megabytes * 1024 * 1024 };
}

function inspectionFailed(error: unknown): WatchError {
  const { message } = error as Error;
  return new WatchError('SERVER_BUSY', `the database could not be inspected: ${message}`, {
    solution:
      'It is tried again within 10 s, and events go on. Until then nothing tells if the publication or a table was changed. Look for locks that are held (pg_locks), or a server that is overloaded.',
    cause: error,
  });
}
