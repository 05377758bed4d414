import { isSynchronousStandby, quoteTable, type Server, serverIssues } from '../postgres/server.ts';
import { ConfigurationError, type ConfigurationIssue, WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Facts } from './facts.ts';
import type { Gap } from './history.ts';
import { beforePromotion, judgeLosses, judgeSlotOf } from './losses.ts';
import type { Memory } from './memory.ts';
import { ownershipOf } from './ownership.ts';
import { fallenOut, publicationNeeds, type PublicationNeeds } from './publication.ts';
import {
  completePublication,
  createPublication,
  extendPublication,
  script,
  widenPublication,
} from './publication-sql.ts';
import { planPushDown } from './push-down.ts';
import { slotCreation, slotIssues } from './slot.ts';

/** The next step. A crash after any step leaves facts from which the next start finds the right step again. */
export type Step =
  /** Creates the publication, or adds the missing parts. */
  | { readonly kind: 'publication' }
  | { readonly kind: 'create slot' }
  /** The slot exists, but the publication's comment does not have its current state. */
  | { readonly kind: 'note slot'; readonly adopted: boolean }
  /** Re-creates a lost slot. */
  | { readonly kind: 'replace slot'; readonly from: string | undefined; readonly reason: string };

export type Judgement = {
  readonly needs: PublicationNeeds;
  readonly warnings: readonly WatchError[];
} & (
  | {
      readonly verdict: 'ready';
      /** Changes that no worker has seen and that were not reported yet. */
      readonly gap: Gap | undefined;
      /** Another worker had the slot since this one last streamed. */
      readonly colleague: boolean;
    }
  | { readonly verdict: 'change'; readonly step: Step }
  /** Another session is creating the slot. */
  | { readonly verdict: 'wait' }
  | { readonly verdict: 'refused'; readonly error: WatchError }
);

/** The walsender's name in pg_stat_activity and pg_stat_replication. */
export function applicationName(slot: string): string {
  return `walwatch/${slot}`;
}

/** Decides what must be done before streaming. Pure. `found`: problems that others found, to be reported together. */
export function judge(
  facts: Facts,
  memory: Memory,
  options: ResolvedOptions,
  found: readonly ConfigurationIssue[] = [],
): Judgement {
  const { server, misfits, identity, slot } = facts;
  const plan = planNeeds(facts, options);
  const { needs } = plan;
  const synchronous = synchronousStandby(server, options);
  const warnings = [...(synchronous ? [synchronous] : []), ...plan.warnings, ...recreatedTables(needs, facts, memory)];
  const refused = (error: WatchError): Judgement => ({ needs, warnings, verdict: 'refused', error });
  const change = (step: Step): Judgement => ({ needs, warnings, verdict: 'change', step });

  const standby = beforePromotion(facts, memory, options);
  if (standby) return refused(standby);
  const issues = [
    ...serverIssues(server, options), ...misfits, ...identity, ...found,
    ...(slot ? slotIssues(options.slot, slot, server) : []), ...plan.issues,
  ]; // prettier-ignore
  if (issues.length > 0) return refused(new ConfigurationError(issues));
  // walwatch would wait until a commit is visible that waits for walwatch.
  if (synchronous && options.visibility === 'committed') return refused(synchronous);

  const verdict = judgeSlotOf(facts, memory, options);
  // Then a gap is reported instead.
  const told =
    options.slot.onLost === 'recreate' &&
    (verdict.kind === 'moved' || (verdict.kind === 'lost' && facts.manage === 'create'));
  const [loss] = judgeLosses(facts, memory, options).filter(({ about }) => about === 'publication' || !told);
  if (loss) return refused(loss.error);
  if (verdict.kind === 'moved' && !verdict.certain) warnings.push(verdict.error);
  const lacking = publicationIssues(facts, needs, options);
  if (facts.manage === 'verify' && verdict.kind === 'create' && !options.slot.temporary)
    lacking.push(slotMissing(facts, options));
  if (lacking.length > 0) return refused(new ConfigurationError(lacking));

  if (facts.manage === 'create' && changePublication(facts, needs, options).length > 0)
    return change({ kind: 'publication' });
  if (options.slot.temporary) return { needs, warnings, verdict: 'ready', gap: undefined, colleague: false };
  if (verdict.kind === 'beingCreated') return { needs, warnings, verdict: 'wait' };
  const pending = facts.marker?.gap;
  const noted = verdict.kind === 'moved' || (verdict.kind === 'resume' && !(pending && pending.to === undefined));
  if (facts.manage === 'create' && !noted) {
    if (verdict.kind === 'create') return change({ kind: 'create slot' });
    if (verdict.kind === 'lost') return change({ ...verdict, kind: 'replace slot' });
    return change({ kind: 'note slot', adopted: verdict.kind === 'adopt' });
  }
  const to = pending?.to ?? slot?.confirmedFlushLsn;
  const remade = pending && to !== undefined ? { from: pending.from, to, reason: pending.reason } : undefined;
  const gap = remade ?? (verdict.kind === 'moved' || verdict.kind === 'resume' ? verdict.gap : undefined);
  return { needs, warnings, verdict: 'ready', gap, colleague: verdict.kind === 'resume' && verdict.colleague };
}

/** What the watchers need of the publication, and which of it is impossible. */
export function planNeeds(
  facts: Facts,
  options: ResolvedOptions,
): { needs: PublicationNeeds; issues: readonly ConfigurationIssue[]; warnings: readonly WatchError[] } {
  const published = publicationNeeds(options.publication.name, facts.bound, facts.server);
  const { pushedDown, issues, warnings } = planPushDown(facts, published.operations, options);
  return { needs: { ...published, pushedDown }, issues, warnings };
}

/** Statements that make the publication carry what the watchers need, as far as walwatch may change it. */
export function changePublication(
  { publication, server }: Pick<Facts, 'publication' | 'server'>,
  needs: PublicationNeeds,
  options: ResolvedOptions,
): string[] {
  if (!publication) return [createPublication(needs)];
  return ownershipOf(publication, options, server) === 'foreign'
    ? extendPublication(needs, publication)
    : widenPublication(needs, publication);
}

/** What the publication lacks and walwatch may not change. */
function publicationIssues(facts: Facts, needs: PublicationNeeds, options: ResolvedOptions): ConfigurationIssue[] {
  const { publication, server, manage } = facts;
  const where = server.inRecovery ? ' (on the primary)' : '';
  const lacking = publication ? completePublication(needs, publication) : [createPublication(needs)];
  if (manage === 'verify') {
    if (lacking.length === 0) return [];
    const what = publication ? 'does not carry what the watchers need' : 'does not exist';
    return [{ message: `the publication '${needs.name}' ${what}`, solution: `Run${where}: ${script(lacking)}` }];
  }
  if (!publication || ownershipOf(publication, options, server) !== 'foreign') return [];
  if (lacking.length <= extendPublication(needs, publication).length) return [];
  return [{
    message: `the publication '${needs.name}' does not carry what the watchers need. walwatch did not create it, so others may read it, and walwatch only adds tables to it`,
    solution: `If all its readers may get more, run: ${script(lacking)} Otherwise give this watch its own publication.`,
  }]; // prettier-ignore
}

function slotMissing({ server }: Facts, { slot }: ResolvedOptions): ConfigurationIssue {
  const where = server.inRecovery ? ' (here, on the standby)' : '';
  return {
    message: `the replication slot '${slot.name}' does not exist`,
    solution: `After the publication was created, run${where}: ${slotCreation(slot.name, slot.failover)};`,
  };
}

/** The error if commits would wait for walwatch's acknowledgement. */
export function synchronousStandby(
  server: Pick<Server, 'synchronousStandbyNames'>,
  options: ResolvedOptions,
): WatchError | undefined {
  const name = applicationName(options.slot.name);
  if (!isSynchronousStandby(server.synchronousStandbyNames, name)) return undefined;
  return new WatchError(
    'SYNCHRONOUS_STANDBY',
    `synchronous_standby_names (${server.synchronousStandbyNames}) makes commits wait for '${name}', which is walwatch's acknowledgement`,
    {
      solution: `Name only real standbys: ALTER SYSTEM SET synchronous_standby_names = '…'; SELECT pg_catalog.pg_reload_conf();`,
    },
  );
}

/** The same while streaming. @throws WatchError SYNCHRONOUS_STANDBY if walwatch would wait for such a commit to become visible */
export function standbyWarnings(
  server: Pick<Server, 'synchronousStandbyNames'>,
  options: ResolvedOptions,
): readonly WatchError[] {
  const synchronous = synchronousStandby(server, options);
  if (synchronous && options.visibility === 'committed') throw synchronous;
  return synchronous ? [synchronous] : [];
}

/** Tables that were dropped and re-created since the last connection. The publication no longer has them. */
function recreatedTables(needs: PublicationNeeds, { publication }: Facts, memory: Memory): WatchError[] {
  if (publication?.allTables) return [];
  const recreated = needs.tables.filter(
    (table) => (memory.tableOids.get(quoteTable(table)) ?? table.oid) !== table.oid,
  );
  return recreated.map((table) => fallenOut(needs.name, table, table.oid, needs.pushedDown.get(table.oid)));
}
