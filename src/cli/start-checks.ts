import type { Client } from 'pg';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import type { WatchError } from '../errors.ts';
import { changePublication, judge } from '../setup/judge.ts';
import { createdComment } from '../setup/marker.ts';
import { noMemory } from '../setup/memory.ts';
import { commentOnPublication } from '../setup/publication.ts';
import { type Check, check } from './checks.ts';
import type { Configuration } from './config.ts';
import type { ServerFacts } from './facts.ts';
import { failure } from './session.ts';
import { survey } from './survey.ts';
import { tryOut } from './try-out.ts';

/** What the start of a worker would change, and what prevents it. */
export interface Start {
  /** The statements of the worker. Empty: nothing is missing. */
  readonly statements: readonly string[];
  /** Their error when they were tried. */
  readonly error: unknown;
  /** The error that would stop the start before any change. */
  readonly refused: WatchError | undefined;
}

/** Judges as a worker does at its start and tries its statements in a transaction that is rolled back. */
export async function rehearse(client: Client, configuration: Configuration): Promise<Start> {
  const { resolved } = configuration;
  try {
    const found = await survey(client, configuration, resolved.manage);
    const judgement = judge(found, noMemory, resolved);
    if (judgement.verdict === 'refused') return { statements: [], error: undefined, refused: judgement.error };
    if (judgement.verdict !== 'change') return { statements: [], error: undefined, refused: undefined };
    const { name } = found.needs;
    const statements = [
      ...(judgement.step.kind === 'publication' ? changePublication(found, found.needs, resolved) : []),
      // The marker of the slot is written there.
      ...(found.publication || judgement.step.kind === 'publication'
        ? [commentOnPublication(name, found.publication?.comment ?? createdComment)]
        : []),
    ];
    return { statements, error: await tryOut(client, statements), refused: undefined };
  } catch (error) {
    return { statements: [], error: undefined, refused: failure(error, resolved) };
  }
}

/** `others` are the results of all other checks. */
export function startChecks(
  { statements, error, refused }: Start,
  { resolved }: Configuration,
  facts: ServerFacts,
  others: readonly Check[],
): Check[] {
  const checks: Check[] = [];
  const known = others.some(({ level }) => level === 'problem');
  if (refused && !known) {
    checks.push({
      name: 'start', level: 'problem', found: refused.message, why: 'a worker would not start', fix: refused.solution,
    }); // prettier-ignore
  }
  if (resolved.manage === 'verify') return checks;
  const state = sqlStateOf(error);
  const missing = missingRights(facts, statements);
  // Without a publication the start would create one, even if another reason stops it first.
  const needed = error !== undefined || (refused !== undefined && facts.ownsPublication === undefined);
  const rights = error === undefined || state === sqlState.insufficientPrivilege;
  checks.push(
    check(missing.length === 0, needed ? 'problem' : 'warning', {
      name: "rights for manage: 'create'",
      found: missing.length === 0 ? 'all' : `missing: ${missing.join('; ')}`,
      why: 'only an owner may create or alter the publication',
      fix: "As the owner of the tables, run the output of `walwatch setup --print`. Then set manage: 'verify'.",
    }),
  );
  if (error === undefined || (rights && missing.length > 0)) return checks;
  if (state === sqlState.readOnlyTransaction) return checks; // default_transaction_read_only has its own check
  const { message, solution } = failure(error, resolved);
  const busy = state === sqlState.lockNotAvailable || state === sqlState.queryCanceled;
  checks.push({
    name: 'publication', level: busy ? 'warning' : 'problem', found: message,
    why: `${busy ? "the worker's first statements could not be tried" : 'a worker would not start'}: ${statements.join('; ')}`, fix: solution,
  }); // prettier-ignore
  return checks;
}

function missingRights(
  { mayCreate, foreignTables, ownsPublication }: ServerFacts,
  statements: readonly string[],
): string[] {
  const tables = ownsPublication === undefined || statements.some((statement) => statement.includes('TABLE'));
  return [
    ...(ownsPublication === undefined && !mayCreate ? ['CREATE on the database'] : []),
    ...(ownsPublication === false ? ['ownership of the publication'] : []),
    ...(tables && foreignTables.length > 0 ? [`ownership of ${foreignTables.join(', ')}`] : []),
  ];
}
