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

/** Milliseconds after which an unfinished event causes a warning. */
const slowAfter = 10_000;

/** Milliseconds per query. The lock timeout is shorter, because a migration may hold a lock for hours. */
const queryTimeout = 5000;

export interface InspectionHost {
  readonly retainedWal: RetainedWalMonitor;
  /** The last acknowledged position. */
  confirmed(): string | undefined;
  heldBy(): HeldBy | undefined;
  /** Where the server's WAL ends. */
  serverReached(lsn: Lsn): void;
  /** Removes tables and columns that no watcher needs from the publication. Returns the statements it ran. */
  narrow(client: Client, prepared: Prepared): Promise<readonly string[]>;
  readonly log: Logger;
  warn(warning: WatchError): void;
  warnOnce(warnings: Iterable<WatchError>): void;
  /** The causes of these warnings are gone: warn again if they come back. */
  over(warnings: Iterable<WatchError>): void;
}

/** The server settings that each inspection reads. */
interface Vitals {
  readonly inRecovery: boolean;
  readonly synchronousStandbyNames: string;
  /** Bytes; undefined: no limit. */
  readonly maxSlotWalKeepSize: number | undefined;
}

/** Checks the database regularly while streaming, for problems that the stream does not report. */
export class Inspection {
  readonly #options: ResolvedOptions;
  readonly #host: InspectionHost;
  readonly #texts: FilterTexts = new Map();
  /** The publication has been reduced to what the watchers need. */
  #narrowed = false;
  /** What the publication left out when streaming began, as the message of `changedPublication`. */
  #accepted: string | undefined;
  /** Unused slots of earlier names have been searched for. */
  #searchedStraySlots = false;
  /** The last event that a HANDLER_SLOW warning named. */
  #slowEvent: string | undefined;
  #found: readonly WatchError[] = [];
  /** Sessions whose application name was changed to name a failing event, with their present name. */
  readonly #names = new WeakMap<Session, string>();
  /** The session on which an inspection is still running. */
  #asked: Session | undefined;

  constructor(options: ResolvedOptions, host: InspectionHost) {
    this.#options = options;
    this.#host = host;
  }

  /** What the last inspection found. Each problem was reported by a warning when it was first found. */
  get found(): readonly WatchError[] {
    return this.#found;
  }

  /** Called for each connection, once it has the slot. */
  connected({ needs, publication, tables, server }: Prepared): void {
    this.#narrowed = false;
    this.#accepted = changedPublication(needs, { publication, tables, server })?.message;
  }

  /**
   * A server that answers too late, or a lock that cannot be taken, causes a warning; the next inspection tries again.
   *
   * @throws WatchError PUBLICATION_LOST, SYNCHRONOUS_STANDBY, and the error with which the session was lost
   */
  async run(session: Session, prepared: Prepared): Promise<void> {
    if (this.#asked === session) return;
    this.#asked = session;
    this.#warnOfSlowness(this.#host.heldBy());
    try {
      await this.#name(session);
      const synchronous = await session.use((client) => bounded(client, () => this.#begin(client, prepared)));
      const found = await session.use((client) => bounded(client, () => this.#look(client, prepared)));
      this.#report([...synchronous, ...found]);
    } catch (error) {
      if (session.isLost || error instanceof WatchError || endsSession(sqlStateOf(error) ?? '')) throw error;
      this.#report([...this.#found.filter(({ code }) => code !== 'SERVER_BUSY'), inspectionFailed(error)]);
    } finally {
      if (this.#asked === session) this.#asked = undefined;
    }
  }

  /**
   * Checks whether commits now wait for our acknowledgement: the setting can change at any time.
   *
   * @throws WatchError SYNCHRONOUS_STANDBY, if walwatch would wait for such a commit to become visible
   */
  async checkSynchronous(session: Session): Promise<void> {
    this.#host.warnOnce(await session.use((client) => this.#synchronous(client)));
  }

  /** Writes the failing event into the session's name, for other programs: no other place in the database shows it. */
  async #name(session: Session): Promise<void> {
    const slot = this.#options.slot.name;
    const name = controlName(slot, this.#host.heldBy());
    if (name === (this.#names.get(session) ?? controlName(slot, undefined))) return;
    await session.use((client) => client.query(`select pg_catalog.set_config('application_name', $1, false)`, [name]));
    this.#names.set(session, name);
  }

  /** On a standby nothing commits, so there is nothing to warn about. */
  async #synchronous(client: Client): Promise<readonly WatchError[]> {
    const { inRecovery, synchronousStandbyNames } = await readVitals(client);
    return inRecovery ? [] : standbyWarnings({ synchronousStandbyNames }, this.#options);
  }

  /** Checks synchronous replication first: our own writes would wait for our acknowledgement too. */
  async #begin(client: Client, prepared: Prepared): Promise<readonly WatchError[]> {
    const synchronous = await this.#synchronous(client);
    if (!this.#narrowed) await this.#narrow(client, prepared);
    if (!this.#searchedStraySlots) await this.#findStraySlots(client, prepared);
    return synchronous;
  }

  /** Runs once at the start, because a renamed slot leaves its predecessor behind. */
  async #findStraySlots(client: Client, { bound, server }: Prepared): Promise<void> {
    const { manage, slot } = this.#options;
    this.#searchedStraySlots = true;
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
    // PostgreSQL 18 and later silently skip changes while the publication is missing.
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

  /** Reports what the publication has come to leave out since streaming began. It may have left something out before, because of another worker's filters. */
  #changes(needs: PublicationNeeds, found: Seen): WatchError[] {
    const changed = changedPublication(needs, found);
    if (changed === undefined) this.#accepted = undefined;
    return changed && changed.message !== this.#accepted ? [changed] : [];
  }

  /** Warns about new findings. One that disappears and comes back is reported again. */
  #report(found: readonly WatchError[]): void {
    const messages = new Set(found.map(({ message }) => message));
    this.#host.over(this.#found.filter(({ message }) => !messages.has(message)));
    this.#found = found;
    this.#host.warnOnce(found);
  }

  /** Once we have the slot, no other worker needs the rest of the publication. If the lock is not available, the next inspection tries again. */
  async #narrow(client: Client, prepared: Prepared): Promise<void> {
    const { log } = this.#host;
    try {
      const statements = await this.#host.narrow(client, prepared);
      this.#narrowed = true;
      if (statements.length > 0) log.info({ statements }, 'removed what no watcher needs from the publication');
    } catch (error) {
      log.warn(
        { err: error },
        'could not remove what no watcher needs from the publication; trying again at the next inspection',
      );
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
      'walwatch tries again within 10 s; events continue. Until then it does not notice changes of the publication or the tables. Look for held locks (pg_locks) or an overloaded server.',
    cause: error,
  });
}
