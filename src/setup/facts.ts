import type { Client } from 'pg';
import { readServer, type Server } from '../postgres/server.ts';
import { readTables, type Table } from '../postgres/tables.ts';
import type { ConfigurationIssue } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import { type BoundWatcher, bindWatchers } from '../watchers/bind.ts';
import type { Watcher } from '../watchers/validate.ts';
import { identityOf, type Marker, parseComment } from './marker.ts';
import { type Publication, readPublication } from './publication.ts';
import { type FilterReading, readRowFilters } from './row-filter.ts';
import { readSlot, type Slot } from './slot.ts';

/** What the database has of what the watchers need. */
export interface Facts {
  readonly server: Server;
  /** A standby cannot be written to; what is needed comes from the primary. */
  readonly manage: 'create' | 'verify';
  readonly tables: readonly Table[];
  readonly bound: readonly BoundWatcher[];
  /** Tables, keys and columns that do not fit the watchers. */
  readonly misfits: readonly ConfigurationIssue[];
  /** Replica identities that do not give what the watchers need. */
  readonly identity: readonly ConfigurationIssue[];
  /** By the OIDs of the tables. */
  readonly filters: ReadonlyMap<number, FilterReading>;
  readonly publication: Publication | undefined;
  /** What the publication remembers of the slot. */
  readonly marker: Marker | undefined;
  /** Of a temporary slot, which is made with the stream, nothing is read. */
  readonly slot: Slot | undefined;
}

/** Reads everything and decides nothing. `altered`: tables as they will be, in place of those that there are. */
export async function readFacts(
  client: Client,
  options: ResolvedOptions,
  watchers: readonly Watcher[],
  altered: readonly Table[] = [],
): Promise<Facts> {
  const server = await readServer(client);
  const manage = server.inRecovery ? 'verify' : options.manage;
  const present = await readTables(
    client,
    watchers.map(({ table }) => table),
  );
  const tables = present.map((table) => altered.find(({ oid }) => oid === table.oid) ?? table);
  const { bound, issues: misfits, identity } = bindWatchers(watchers, tables, server);
  // Publication and marker before the slot: a marker is written after its slot was made, so one without a slot tells a loss.
  const publication = await readPublication(client, options.publication.name, server);
  const filters = await readRowFilters(client, bound, { publication, server, manage });
  const { markers } = parseComment(publication?.comment ?? null);
  const found = markers.find(({ slot }) => slot === options.slot.name);
  const marker = found && manage === 'verify' ? identityOf(found) : found;
  const slot = options.slot.temporary ? undefined : await readSlot(client, options.slot.name, server);
  return { server, manage, tables, bound, misfits, identity, filters, publication, marker, slot };
}
