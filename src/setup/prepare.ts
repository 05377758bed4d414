import type { Client } from 'pg';
import {
  isSynchronousStandby,
  quoteIdentifier,
  quoteTable,
  readServer,
  type Server,
  serverIssues,
  since,
} from '../postgres/server.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { readTables } from '../postgres/tables.ts';
import type { TypeCatalog } from '../postgres/types.ts';
import { ConfigurationError, type ConfigurationIssue, throwIssues, WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import { type BoundWatcher, bindWatchers } from '../watchers/bind.ts';
import type { Watcher } from '../watchers/validate.ts';
import { stillStandby } from './classify.ts';
import { dropOrphanedPublications, isLivePublication, lockLivePublication } from './live-publication.ts';
import type { History } from './history.ts';
import { type Marker, parseComment, withMarker } from './marker.ts';
import {
  alterPublication, commentOnPublication, fallenOut, type Publication, publicationLost, publicationNeeds, type PublicationNeeds,
  readPublication,
} from './publication.ts'; // prettier-ignore
import {
  completePublication,
  createPublication,
  narrowPublication,
  script,
  widenPublication,
} from './publication-sql.ts';
import { planPushDown } from './push-down.ts';
import { createSlot, readSlot, type Slot, slotCreation, slotIssues, slotLost } from './slot.ts';

/** What this process knows from its earlier connections. */
export interface Memory {
  readonly history: History;
  /** Last position that was sent as flushed. */
  readonly acknowledged: string | undefined;
  readonly publicationOid: number | undefined;
  /** Of the last walsender. */
  readonly pid: number | undefined;
  /** The last server was no standby. */
  readonly onPrimary?: boolean;
  /** By quoted name. */
  readonly tableOids: ReadonlyMap<string, number>;
}

/** What is known once everything is in place for streaming. */
export interface Prepared {
  readonly server: Server;
  readonly bound: readonly BoundWatcher[];
  readonly needs: PublicationNeeds;
  /** Tables with a column list: not all their columns are sent. */
  readonly projected: ReadonlySet<number>;
  readonly publicationOid: number;
  /** Undefined for a temporary slot, which is made with the stream. */
  readonly confirmedLsn: string | undefined;
  /** Of this slot in the publication's comment. */
  readonly marker: Marker | undefined;
  readonly warnings: readonly WatchError[];
}

/** The name that the walsender shows in pg_stat_activity and pg_stat_replication. */
export function applicationName(slot: string): string {
  return `walwatch/${slot}`;
}

/**
 * Checks server, tables, publication and slot before each streaming, and makes what is missing if it may. All that is
 * wrong with the configuration is reported at once, together with what `check` finds.
 */
export async function prepare(
  client: Client,
  options: ResolvedOptions,
  watchers: readonly Watcher[],
  types: TypeCatalog,
  memory: Memory,
  check: (bound: readonly BoundWatcher[], server: Server) => Promise<readonly ConfigurationIssue[]>,
): Promise<Prepared> {
  const server = await readServer(client);
  if (server.inRecovery && memory.onPrimary) throw stillStandby('this worker streams from the primary');
  const issues: ConfigurationIssue[] = serverIssues(server, options);
  const tables = await readTables(
    client,
    watchers.map(({ table }) => table),
  );
  const { bound, issues: misfits, identity } = bindWatchers(watchers, tables, server);
  issues.push(...misfits, ...identity, ...(await check(bound, server)));
  const { name } = options.publication;
  const slot = options.slot.temporary ? undefined : await readSlot(client, options.slot.name, server);
  if (slot) issues.push(...slotIssues(options.slot, slot, server));
  // A standby can not be written to; what is needed comes from the primary.
  const manage = server.inRecovery ? 'verify' : options.manage;
  let publication = await readPublication(client, name, server);
  const published = publicationNeeds(name, bound, server);
  const { operations } = published;
  const sharedWith = otherSlots(publication, options, server);
  const facts = { options, server, manage, publication, sharedWith, operations };
  const { pushedDown, issues: refused, warnings: doubts } = await planPushDown(client, bound, facts);
  throwIssues([...issues, ...refused]);
  const needs: PublicationNeeds = { ...published, pushedDown };
  const warnings = [...standbyWarnings(server, options), ...doubts];
  await types.resolve(
    client,
    bound.flatMap(({ table }) => table.columns.map((column) => column.typeOid)),
  );

  checkPublication(publication, slot, memory, options);
  warnings.push(...recreatedTables(needs, publication, memory));
  if (manage === 'create') publication = await widen(client, needs, options, server);
  else verifyPublication(publication, needs, slot !== undefined || options.slot.temporary, options, server);

  const { oid, comment } = publication!;
  const marker = parseComment(comment).markers.find((one) => one.slot === options.slot.name);
  const watched = watchers.map((watcher) => watcher.name);
  const facts2 = { options, manage, server, slot, marker, memory, publicationOid: oid, comment, watchers: watched };
  const { confirmedLsn, adopted, warning } = options.slot.temporary
    ? { confirmedLsn: undefined, adopted: false, warning: undefined }
    : await prepareSlot(client, facts2);
  if (warning) warnings.push(warning);
  if (adopted && server.major >= since.silentPublications) warnings.push(adoptionWarning(options));
  const listed = [...publication!.listed, ...[...pushedDown].map(([table, entry]) => ({ oid: table, ...entry }))];
  const projected = new Set(listed.filter(({ columns }) => columns !== undefined).map((entry) => entry.oid));
  return { server, bound, needs, projected, publicationOid: oid, confirmedLsn, marker, warnings };
}

/** Takes from the publication what nobody needs any more. Only for the one who holds the slot, and when no other slot uses it. */
export async function narrow(
  client: Client,
  needs: PublicationNeeds,
  options: ResolvedOptions,
  server: Server,
): Promise<readonly string[]> {
  if (options.manage !== 'create' || server.inRecovery) return [];
  const decide = (publication: Publication | undefined) => {
    if (!publication || publication.allTables) return [];
    return otherSlots(publication, options, server).length > 0 ? [] : narrowPublication(needs, publication);
  };
  const publication = await readPublication(client, needs.name, server);
  return decide(publication).length === 0 ? [] : alterPublication(client, needs.name, server, decide);
}

/** Those that read the same publication, as far as walwatch made them. A clone of the database copies comments, but no slots. */
function otherSlots(publication: Publication | undefined, { slot }: ResolvedOptions, server: Server): string[] {
  const { markers } = parseComment(publication?.comment ?? null);
  const here = markers.filter(({ databaseOid }) => databaseOid === server.databaseOid);
  return here.map((marker) => marker.slot).filter((name) => name !== slot.name);
}

export function* standbyWarnings(
  server: Pick<Server, 'synchronousStandbyNames'>,
  options: ResolvedOptions,
): Iterable<WatchError> {
  const name = applicationName(options.slot.name);
  if (!isSynchronousStandby(server.synchronousStandbyNames, name)) return;
  const error = new WatchError(
    'SYNCHRONOUS_STANDBY',
    `synchronous_standby_names (${server.synchronousStandbyNames}) makes commits wait for '${name}', that is for our acknowledgement`,
    {
      solution: `Name the standbys that are meant: ALTER SYSTEM SET synchronous_standby_names = 'standby1'; SELECT pg_reload_conf();`,
    },
  );
  // We would wait for a commit to become visible that waits for us.
  if (options.visibility === 'committed') throw error;
  yield error;
}

/** @throws WatchError PUBLICATION_LOST */
export function checkPublication(
  publication: Publication | undefined,
  slot: Slot | undefined,
  memory: Memory,
  options: ResolvedOptions,
): void {
  const names = { slot: options.slot.name, publication: options.publication.name };
  const last = memory.acknowledged === undefined ? '' : ` (last acknowledged: ${memory.acknowledged})`;
  if (publication === undefined && (slot !== undefined || memory.publicationOid !== undefined)) {
    throw publicationLost(
      `the publication '${names.publication}' is missing, but its slot '${names.slot}' has been in use${last}`,
      names,
    );
  }
  if (publication !== undefined && memory.publicationOid !== undefined && memory.publicationOid !== publication.oid) {
    throw publicationLost(
      `the publication '${names.publication}' was dropped and made anew while it was in use${last}`,
      names,
    );
  }
}

/** Tables that were dropped and made anew since the last connection: they fell out of the publication. */
function recreatedTables(needs: PublicationNeeds, publication: Publication | undefined, memory: Memory): WatchError[] {
  if (publication?.allTables) return [];
  const recreated = needs.tables.filter(
    (table) => (memory.tableOids.get(quoteTable(table)) ?? table.oid) !== table.oid,
  );
  return recreated.map((table) => fallenOut(needs.name, table, table.oid, needs.pushedDown.get(table.oid)));
}

/** Whether somebody made the publication anew cannot be seen, and the server does not tell of it either. */
function adoptionWarning({ slot, publication }: ResolvedOptions): WatchError {
  return new WatchError(
    'PUBLICATION_CHANGED',
    `the slot '${slot.name}' is used with a publication '${publication.name}' that does not know of it`,
    {
      solution:
        'Nothing, if both were made by hand for this worker. But if the publication was dropped and made anew, changes written in between are not seen: bring what depends on them up to date.',
    },
  );
}

/** Another publication has its name now. */
export function publicationReplaced({ slot, publication }: ResolvedOptions): WatchError {
  return new WatchError(
    'PUBLICATION_CHANGED',
    `the publication '${publication.name}' is not the one that the slot '${slot.name}' was made with`,
    {
      solution: `It was made anew, or its comment was copied. If no change was missed: COMMENT ON PUBLICATION ${quoteIdentifier(publication.name)} IS NULL;`,
    },
  );
}

async function widen(
  client: Client,
  needs: PublicationNeeds,
  options: ResolvedOptions,
  server: Server,
): Promise<Publication> {
  if (isLivePublication(options)) {
    await dropOrphanedPublications(client);
    await lockLivePublication(client, needs.name);
  }
  const decide = (current: Publication | undefined) =>
    current ? widenPublication(needs, current) : [createPublication(needs)];
  const statements = decide(await readPublication(client, needs.name, server));
  if (statements.length > 0) {
    try {
      await alterPublication(client, needs.name, server, decide);
    } catch (error) {
      if ((error as { code?: string }).code !== sqlState.insufficientPrivilege) throw error;
      throw new WatchError(
        'PERMISSION',
        `the publication '${needs.name}' can not be made or altered: ${(error as Error).message}`,
        {
          solution: `Let the owner of the tables run: ${script(statements)} then use manage: 'verify'.`,
          cause: error,
        },
      );
    }
  }
  return (await readPublication(client, needs.name, server))!;
}

function verifyPublication(
  publication: Publication | undefined,
  needs: PublicationNeeds,
  slotExists: boolean,
  options: ResolvedOptions,
  server: Server,
): void {
  const statements = publication ? completePublication(needs, publication) : [createPublication(needs)];
  const issues: ConfigurationIssue[] = [];
  const where = server.inRecovery ? ' (on the primary)' : '';
  if (statements.length > 0) {
    const what = publication ? 'does not carry what the watchers need' : 'does not exist';
    issues.push({
      message: `the publication '${needs.name}' ${what}`,
      solution: `Run${where}: ${script(statements)}`,
    });
  }
  if (!slotExists) {
    issues.push({
      message: `the replication slot '${options.slot.name}' does not exist`,
      solution: `Run, after the publication was made: ${slotCreation(options.slot.name, options.slot.failover)};`,
    });
  }
  if (issues.length > 0) throw new ConfigurationError(issues);
}

async function prepareSlot(
  client: Client,
  facts: {
    options: ResolvedOptions; manage: 'create' | 'verify'; server: Server; slot: Slot | undefined; watchers: readonly string[];
    marker: Marker | undefined; memory: Memory; publicationOid: number; comment: string | null;
  }, // prettier-ignore
): Promise<{ confirmedLsn: string | undefined; adopted?: boolean; warning?: WatchError }> {
  const { options, manage, server, slot, marker, memory, publicationOid, watchers } = facts;
  const { history } = memory;
  const { name, onLost, failover } = options.slot;
  if (marker && slot && marker.publicationOid !== publicationOid) {
    throw publicationReplaced(options);
  }
  const confirmed = slot?.confirmedFlushLsn;
  const verdict = history.slot({ name, slot, marker, server, watchers, ...memory });
  const remember = (entry: Marker) => writeMarker(client, options, server, () => entry);
  const newMarker = (createdLsn: string): Marker => {
    const { systemIdentifier, databaseOid } = server;
    return { version: 1, slot: name, systemIdentifier, databaseOid, publicationOid, createdLsn };
  };
  switch (verdict.kind) {
    case 'resume':
      return { confirmedLsn: confirmed };
    case 'adopt':
      if (manage === 'create' && confirmed !== undefined) await remember(newMarker(confirmed));
      return { confirmedLsn: confirmed, adopted: manage === 'create' };
    case 'moved':
      if (verdict.certain && onLost === 'stop') {
        // Told now: the next start goes on.
        if (marker?.stopped !== undefined) await remember({ ...marker, stopped: confirmed! });
        throw verdict.error;
      }
      history.begin(verdict.gap);
      return { confirmedLsn: confirmed, warning: verdict.error };
    case 'create': {
      const createdLsn = await createSlot(client, name, failover);
      await remember(newMarker(createdLsn));
      history.begin(undefined);
      return { confirmedLsn: createdLsn };
    }
    case 'lost': {
      if (onLost === 'stop' || manage === 'verify') throw slotLost(name, verdict.reason, verdict.from);
      if (slot) await client.query('select pg_catalog.pg_drop_replication_slot($1)', [name]);
      const createdLsn = await createSlot(client, name, failover);
      const gap = { from: verdict.from, to: createdLsn, reason: verdict.reason };
      await remember({ ...newMarker(createdLsn), gap });
      history.begin(gap);
      return { confirmedLsn: createdLsn };
    }
  }
}

/** Replaces the marker of the slot in the publication's comment; not at all when `change` returns undefined. */
export async function writeMarker(
  client: Client,
  { slot, publication: { name } }: ResolvedOptions,
  server: Pick<Server, 'major'>,
  change: (marker: Marker | undefined) => Marker | undefined,
): Promise<void> {
  await alterPublication(client, name, server, (publication) => {
    if (!publication) return [];
    const marker = parseComment(publication.comment).markers.find((one) => one.slot === slot.name);
    const changed = change(marker);
    return changed ? [commentOnPublication(name, withMarker(publication.comment, changed))] : [];
  });
}
