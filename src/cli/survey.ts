/** What the database has of what the configuration needs. */
import type { Client } from 'pg';
import { readServer, type Server } from '../postgres/server.ts';
import { readTables, type Table } from '../postgres/tables.ts';
import type { ConfigurationIssue, WatchError } from '../errors.ts';
import { type Marker, parseComment } from '../setup/marker.ts';
import { checkPublication, publicationReplaced } from '../setup/prepare.ts';
import {
  type Publication, publicationNeeds, type PublicationNeeds, readPublication,
} from '../setup/publication.ts'; // prettier-ignore
import { planPushDown } from '../setup/push-down.ts';
import { History } from '../setup/history.ts';
import { readSlot, type Slot, slotLost } from '../setup/slot.ts';
import { type BoundWatcher, bindWatchers } from '../watchers/bind.ts';
import type { Configuration } from './config.ts';

export interface Survey {
  readonly server: Server;
  readonly tables: readonly Table[];
  readonly bound: readonly BoundWatcher[];
  /** Tables, keys and columns that do not fit the watchers. */
  readonly misfits: readonly ConfigurationIssue[];
  /** Replica identities that do not give what the watchers need. */
  readonly identity: readonly ConfigurationIssue[];
  readonly needs: PublicationNeeds;
  readonly publication: Publication | undefined;
  readonly slot: Slot | undefined;
  /** What the publication remembers of the slot. */
  readonly marker: Marker | undefined;
}

/**
 * `manage`: as for a worker that only verifies, looking needs no rights. `altered`: tables as they will be, in place of those
 * that there are.
 */
export async function survey(
  client: Client,
  { resolved, watchers, hasSlot }: Configuration,
  manage: 'create' | 'verify' = 'verify',
  altered: readonly Table[] = [],
): Promise<Survey> {
  const server = await readServer(client);
  const found = await readTables(
    client,
    watchers.map(({ table }) => table),
  );
  const tables = found.map((table) => altered.find(({ oid }) => oid === table.oid) ?? table);
  const { bound, issues, identity } = bindWatchers(watchers, tables, server);
  const { name } = resolved.publication;
  const publication = await readPublication(client, name, server);
  const slot = hasSlot ? await readSlot(client, resolved.slot.name, server) : undefined;
  const { markers } = parseComment(publication?.comment ?? null);
  const marker = markers.find((one) => one.slot === resolved.slot.name);
  const published = publicationNeeds(name, bound, server);
  const sharedWith = markers.map((one) => one.slot).filter((one) => one !== resolved.slot.name);
  const { operations } = published;
  const facts = { options: resolved, server, manage, publication, sharedWith, operations };
  const { pushedDown, issues: refused } = await planPushDown(client, bound, facts);
  const needs = { ...published, pushedDown };
  return { server, tables, bound, misfits: [...issues, ...refused], identity, needs, publication, slot, marker };
}

/** What a worker knows before its first connection. */
export const noMemory = () => ({
  history: new History(),
  acknowledged: undefined, publicationOid: undefined, pid: undefined, tableOids: new Map<string, number>(),
}); // prettier-ignore

/** Losses: what no statement brings back, and what a worker would therefore stop with. */
export function losses(
  found: Survey,
  { resolved }: Configuration,
): { about: 'slot' | 'publication'; error: WatchError }[] {
  const { publication, slot, marker, server } = found;
  const all: { about: 'slot' | 'publication'; error: WatchError }[] = [];
  try {
    checkPublication(publication, slot, noMemory(), resolved);
  } catch (error) {
    all.push({ about: 'publication', error: error as WatchError });
  }
  if (publication && slot && marker && marker.publicationOid !== publication.oid) {
    all.push({ about: 'publication', error: publicationReplaced(resolved) });
  }
  const { name } = resolved.slot;
  const verdict = new History().slot({
    name,
    slot,
    marker,
    server,
    watchers: [],
    acknowledged: undefined,
    pid: undefined,
  });
  if (verdict.kind === 'lost') all.push({ about: 'slot', error: slotLost(name, verdict.reason, verdict.from) });
  return all;
}
