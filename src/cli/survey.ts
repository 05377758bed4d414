/** The facts about the database that the configuration needs, read and judged as a worker does. */
import type { Client } from 'pg';
import type { Table } from '../postgres/tables.ts';
import type { WatchError } from '../errors.ts';
import { type Facts, readFacts } from '../setup/facts.ts';
import { planNeeds } from '../setup/judge.ts';
import { judgeLosses } from '../setup/losses.ts';
import { noMemory } from '../setup/memory.ts';
import { type Ownership, ownershipOf } from '../setup/ownership.ts';
import type { PublicationNeeds } from '../setup/publication.ts';
import type { Configuration } from './config.ts';

export interface Survey extends Facts {
  readonly needs: PublicationNeeds;
  readonly ownership: Ownership;
  /** Losses that no statement can repair. A worker would stop with these errors. */
  readonly losses: readonly { readonly about: 'slot' | 'publication'; readonly error: WatchError }[];
}

/**
 * `manage`: with `verify`, as for a worker that only verifies, reading needs no rights. `altered`: tables as they will be after
 * setup, instead of the existing ones.
 */
export async function survey(
  client: Client,
  { resolved, watchers }: Configuration,
  manage: 'create' | 'verify' = 'verify',
  altered: readonly Table[] = [],
): Promise<Survey> {
  const facts = await readFacts(client, { ...resolved, manage }, watchers, altered);
  const { needs, issues } = planNeeds(facts, resolved);
  return {
    ...facts,
    misfits: [...facts.misfits, ...issues],
    needs,
    ownership: ownershipOf(facts.publication, resolved, facts.server),
    losses: judgeLosses(facts, noMemory, resolved),
  };
}
