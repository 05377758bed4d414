import type { Client } from 'pg';
import { isPresent } from '../postgres/own-tables.ts';
import { readServer, type Server, since } from '../postgres/server.ts';
import { readTogether } from '../postgres/round-trip.ts';
import { majorOf } from '../postgres/session.ts';
import { readTables, type Table } from '../postgres/tables.ts';
import type { TypeCatalog } from '../postgres/types.ts';
import type { ConfigurationIssue } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import { type BoundWatcher, bindWatchers } from '../watchers/bind.ts';
import type { Watcher } from '../watchers/validate.ts';
import { identityOf, type Marker, parseComment } from './marker.ts';
import { listPublication, type Publication, withFilters } from './publication.ts';
import { type FilterReading, readRowFilters } from './row-filter.ts';
import { readSlot, type Slot } from './slot.ts';

/** The state of the database, as far as the watchers need it. */
export interface Facts {
  readonly server: Server;
  /** Always `verify` on a standby, which is read-only. Publication and slot must be created on the primary. */
  readonly manage: 'create' | 'verify';
  readonly tables: readonly Table[];
  readonly bound: readonly BoundWatcher[];
  /** Tables, keys and columns that do not fit the watchers. */
  readonly misfits: readonly ConfigurationIssue[];
  /** Replica identities that do not give what the watchers need. */
  readonly identity: readonly ConfigurationIssue[];
  /** Row filters by the OIDs of their tables. */
  readonly filters: ReadonlyMap<number, FilterReading>;
  readonly publication: Publication | undefined;
  /** What the publication's comment stores about the slot. */
  readonly marker: Marker | undefined;
  /** Undefined also for a temporary slot: it does not exist before the stream. */
  readonly slot: Slot | undefined;
  /** The table walwatch.existing is there. */
  readonly keepsExisting: boolean;
}

/**
 * Reads everything and decides nothing, in one round trip unless there are row filters. `altered`: tables as they will be, to use
 * instead of the current ones. `types` also learns the types of the columns. `major`: the version that the server reported.
 */
export async function readFacts(
  client: Client,
  options: ResolvedOptions,
  watchers: readonly Watcher[],
  altered: readonly Table[] = [],
  types?: TypeCatalog,
  major: number = majorOf(client) ?? since.oldest,
): Promise<Facts> {
  const { slot, publication: names } = options;
  const wanted = watchers.map(({ table }) => table);
  // The slot is read last: a marker is written after its slot was created, so a marker without a slot means a lost slot.
  const [server, present, listing, keepsExisting, found] = await readTogether(client, () => [
    readServer(client),
    readTables(client, wanted),
    listPublication(client, names.name, { major }),
    isPresent(client, 'existing'),
    slot.temporary ? Promise.resolve(undefined) : readSlot(client, slot.name, { major }),
    types ? types.resolveColumns(client, wanted) : Promise.resolve(),
  ]);
  // Behind a pooler, the server may have been upgraded since.
  if (server.major !== major) return readFacts(client, options, watchers, altered, types, server.major);
  const manage = server.inRecovery ? 'verify' : options.manage;
  const tables = present.map((table) => altered.find(({ oid }) => oid === table.oid) ?? table);
  const { bound, issues: misfits, identity } = bindWatchers(watchers, tables, server);
  const publication = await withFilters(client, listing);
  const filters = await readRowFilters(client, bound, { publication, server, manage });
  const noted = parseComment(publication?.comment ?? null).markers.find((one) => one.slot === slot.name);
  const marker = noted && manage === 'verify' ? identityOf(noted) : noted;
  return { server, manage, tables, bound, misfits, identity, filters, publication, marker, slot: found, keepsExisting };
}
