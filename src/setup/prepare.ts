import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { type Server, since } from '../postgres/server.ts';
import { inOrder } from '../postgres/round-trip.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import type { Table } from '../postgres/tables.ts';
import type { TypeCatalog } from '../postgres/types.ts';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import type { Watcher } from '../watchers/validate.ts';
import { apply } from './apply.ts';
import { type Facts, readFacts } from './facts.ts';
import type { Gap } from './history.ts';
import { judge, type Judgement } from './judge.ts';
import { claimLivePublication } from './live-publication.ts';
import { lostTables } from './losses.ts';
import type { Memory } from './memory.ts';
import type { Publication, PublicationNeeds } from './publication.ts';
import { creationTimeout } from './slot.ts';
import { slotBlocked } from './slot-blocked.ts';
import { SetupLock } from './setup-lock.ts';

/** The result of `prepare`: everything is ready for streaming. */
export interface Prepared {
  readonly server: Server;
  readonly bound: readonly BoundWatcher[];
  readonly needs: PublicationNeeds;
  /** Tables with a column list: the server does not send all their columns. */
  readonly projected: ReadonlySet<number>;
  readonly publicationOid: number;
  /** The publication when streaming begins. */
  readonly publication: Publication;
  readonly tables: readonly Table[];
  /** Undefined for a temporary slot: it is created with the stream. */
  readonly confirmedLsn: string | undefined;
  /** Another worker has the slot. */
  readonly activePid: number | undefined;
  /** Changes that no worker has seen and that were not reported yet. */
  readonly gap: Gap | undefined;
  /** Another worker had the slot since this one last streamed. */
  readonly colleague: boolean;
  /** The table walwatch.existing is there. */
  readonly keepsExisting: boolean;
  readonly warnings: readonly WatchError[];
}

type Check = (bound: readonly BoundWatcher[], server: Server) => Promise<readonly ConfigurationIssue[]>;

/**
 * Checks server, tables, publication and slot before streaming, and creates missing parts if it may. Reports every problem with the
 * configuration at once, together with what `check` finds.
 */
export async function prepare(
  client: Client,
  options: ResolvedOptions,
  watchers: readonly Watcher[],
  types: TypeCatalog,
  memory: Memory,
  check: Check,
): Promise<Prepared> {
  if (options.slot.temporary) await claimLivePublication(client, options, memory.pid);
  const read = () => readFacts(client, options, watchers, [], types);
  const { facts, judgement, warnings } = await settle(client, options, read, memory, check);
  const { needs } = judgement;
  const { oid, listed } = facts.publication!;
  const entries = [...listed, ...[...needs.pushedDown].map(([table, entry]) => ({ oid: table, ...entry }))];
  const projected = new Set(entries.filter(({ columns }) => columns !== undefined).map((entry) => entry.oid));
  return {
    server: facts.server, bound: facts.bound, needs, projected, publicationOid: oid, publication: facts.publication!, tables: facts.tables,
    confirmedLsn: facts.slot?.confirmedFlushLsn, activePid: facts.slot?.activePid, gap: judgement.gap, colleague: judgement.colleague,
    keepsExisting: facts.keepsExisting, warnings: [...judgement.warnings, ...warnings],
  }; // prettier-ignore
}

interface Settled {
  readonly facts: Facts;
  readonly judgement: Judgement & { readonly verdict: 'ready' };
  /** Warnings of the steps that were done. */
  readonly warnings: readonly WatchError[];
}

/** Reads, judges and applies until nothing is left to do. Before it changes anything or reports a gap, it takes a lock and reads again. */
async function settle(
  client: Client,
  options: ResolvedOptions,
  read: () => Promise<Facts>,
  memory: Memory,
  check: Check,
): Promise<Settled> {
  const warnings: WatchError[] = [];
  const lock = new SetupLock(client, options.slot.name);
  const deadline = performance.now() + creationTimeout;
  let seen: Facts | undefined;
  try {
    for (let races = 0, steps = 0; ;) {
      try {
        const facts = seen ?? (await read());
        seen = undefined;
        const judgement = judge(facts, memory, options, await check(facts.bound, facts.server));
        // While another worker re-creates the slot, the facts may show the new slot and the old marker. With the lock they belong together.
        if (judgement.verdict === 'ready' && (lock.isOurs || !judgement.gap)) return { facts, judgement, warnings };
        if (lock.isOurs && judgement.verdict === 'refused') throw judgement.error;
        if (lock.isOurs && judgement.verdict === 'change') {
          const { step } = judgement;
          if (++steps > stepsLimit) throw neverReady(options);
          await apply(client, step, facts, judgement.needs, options);
          if (step.kind === 'publication') warnings.push(...lostTables(facts));
          const adopted = step.kind === 'note slot' && step.adopted;
          if (adopted && facts.server.major >= since.silentPublications) warnings.push(adoptionWarning(options));
          continue;
        }
        const waits = judgement.verdict === 'wait';
        if (!waits) {
          // In this order, the server reads while the lock is held.
          const [taken, again] = await inOrder([lock.take(), read()]);
          if (taken) {
            seen = again;
            continue;
          }
        }
        if (performance.now() > deadline)
          throw (!waits && (await lock.holder())) || (await slotBlocked(client, options.slot.name));
        await delay(waitInterval);
      } catch (error) {
        if (!isLostRace(error) || ++races > racesLimit) throw error;
        await delay(waitInterval * races * Math.random());
      }
    }
  } finally {
    lock.release().catch(() => {}); // a lost session holds no lock
  }
}

/** Milliseconds. */
const waitInterval = 100;
const racesLimit = 5;
const stepsLimit = 10;

/**
 * SQLSTATEs for the case that others create, change or drop the same object at the same moment. "could not open relation" and "tuple
 * concurrently updated" are internal errors.
 */
const races: ReadonlySet<string | undefined> = new Set([
  sqlState.duplicateObject, sqlState.undefinedObject, sqlState.duplicateTable, sqlState.uniqueViolation,
  sqlState.serializationFailure, sqlState.objectInUse, sqlState.internalError,
]); // prettier-ignore

function isLostRace(error: unknown): boolean {
  return races.has(sqlStateOf(error));
}

function neverReady({ publication }: ResolvedOptions): WatchError {
  return new WatchError(
    'SERVER_BUSY',
    `the publication '${publication.name}' or its slot was changed repeatedly during the setup`,
    {
      solution: 'walwatch tries again. Check whether something else is changing them.',
    },
  );
}

/** It is impossible to see whether someone re-created the publication, and the server does not report it either. */
function adoptionWarning({ slot, publication }: ResolvedOptions): WatchError {
  return new WatchError(
    'PUBLICATION_CHANGED',
    `the slot '${slot.name}' is used with the publication '${publication.name}', whose comment does not mention it`,
    {
      solution:
        'Nothing, if both were created by hand for this worker. If the publication was dropped and re-created, changes written in between are missed: bring what depends on them up to date.',
    },
  );
}
