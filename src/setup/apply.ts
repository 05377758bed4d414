import type { Client } from 'pg';
import type { Server } from '../postgres/server.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import { WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Facts } from './facts.ts';
import { changePublication, type Step } from './judge.ts';
import { isReadLive } from './live-publication.ts';
import { createdComment, type Marker, parseComment, withMarker } from './marker.ts';
import { ownershipOf } from './ownership.ts';
import {
  alterPublication, commentOnPublication, type Publication, type PublicationNeeds, readPublication,
} from './publication.ts'; // prettier-ignore
import { narrowPublication, script } from './publication-sql.ts';
import { createSlot } from './slot.ts';

/** Carries out the step that the judge decided on, and nothing else. */
export async function apply(
  client: Client,
  step: Step,
  facts: Facts,
  needs: PublicationNeeds,
  options: ResolvedOptions,
): Promise<void> {
  const { server, slot, marker } = facts;
  const { name, failover } = options.slot;
  switch (step.kind) {
    case 'publication':
      return widen(client, facts, needs, options);
    case 'note slot': {
      const to = slot!.confirmedFlushLsn!;
      return note(client, facts, options, to, marker?.gap && { ...marker.gap, to });
    }
    case 'create slot': {
      const createdLsn = await createSlot(client, name, failover, server);
      return note(client, facts, options, createdLsn);
    }
    case 'replace slot': {
      const gap = { ...(step.from !== undefined && { from: step.from }), reason: step.reason };
      // The gap is stored first, so that it is not lost if a later statement fails.
      await note(client, facts, options, marker?.createdLsn ?? step.from ?? '0/0', gap);
      if (slot) await client.query('select pg_catalog.pg_drop_replication_slot($1)', [name]);
      const createdLsn = await createSlot(client, name, failover, server);
      return note(client, facts, options, createdLsn, { ...gap, to: createdLsn });
    }
  }
}

async function widen(client: Client, facts: Facts, needs: PublicationNeeds, options: ResolvedOptions): Promise<void> {
  const { server } = facts;
  const decide = (publication: Publication | undefined) => {
    const statements = changePublication({ publication, server }, needs, options);
    return publication ? statements : [...statements, commentOnPublication(needs.name, createdComment)];
  };
  try {
    await alterPublication(client, needs.name, server, decide);
  } catch (error) {
    if (sqlStateOf(error) !== sqlState.insufficientPrivilege) throw error;
    throw new WatchError(
      'PERMISSION',
      `the publication '${needs.name}' cannot be created or altered: ${(error as Error).message}`,
      {
        solution: `As the owner of the tables, run: ${script(decide(facts.publication))} Then use manage: 'verify'.`,
        cause: error,
      },
    );
  }
}

/** Stores where the slot was created, and the gap before it that was not reported yet. */
async function note(
  client: Client,
  { server, publication }: Facts,
  options: ResolvedOptions,
  createdLsn: string,
  gap?: Marker['gap'],
): Promise<void> {
  const { systemIdentifier, databaseOid } = server;
  const marker: Marker = {
    version: 1, slot: options.slot.name, systemIdentifier, databaseOid, publicationOid: publication!.oid, createdLsn,
    ...(gap && { gap }),
  }; // prettier-ignore
  await remember(client, options, server, marker);
}

async function remember(client: Client, options: ResolvedOptions, server: Server, marker: Marker): Promise<void> {
  const { name } = options.publication;
  await alterPublication(client, name, server, (publication) => [
    commentOnPublication(name, withMarker(publication?.comment ?? null, marker)),
  ]);
}

/** Changes what the publication's comment stores about the slot, if it stores anything. */
export async function changeMarker(
  client: Client,
  options: ResolvedOptions,
  server: Server,
  change: (marker: Marker) => Marker,
): Promise<void> {
  const {
    slot,
    publication: { name },
  } = options;
  await alterPublication(client, name, server, (publication) => {
    const marker = parseComment(publication?.comment ?? null).markers.find((one) => one.slot === slot.name);
    return marker ? [commentOnPublication(name, withMarker(publication!.comment, change(marker)))] : [];
  });
}

/**
 * Removes unneeded parts of the publication, if walwatch created it and no other slot uses it. May be called only by the
 * worker that has the slot. Returns the statements that it ran.
 */
export async function narrow(
  client: Client,
  needs: PublicationNeeds,
  options: ResolvedOptions,
  server: Server,
): Promise<readonly string[]> {
  if (options.manage !== 'create' || server.inRecovery) return [];
  const decide = (publication: Publication | undefined) => {
    if (!publication || publication.allTables) return [];
    return ownershipOf(publication, options, server) === 'own' ? narrowPublication(needs, publication) : [];
  };
  const publication = await readPublication(client, needs.name, server);
  if (decide(publication).length === 0 || (await isReadLive(client, needs.name))) return [];
  return alterPublication(client, needs.name, server, decide);
}
