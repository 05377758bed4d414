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

/** What is known once everything is in place for streaming. */
export interface Prepared {
  readonly server: Server;
  readonly bound: readonly BoundWatcher[];
  readonly needs: PublicationNeeds;
  /** Tables with a column list: not all their columns are sent. */
  readonly projected: ReadonlySet<number>;
  readonly publicationOid: number;
  /** As it is when streaming begins. */
  readonly publication: Publication;
  readonly tables: readonly Table[];
  /** Undefined for a temporary slot, which is made with the stream. */
  readonly confirmedLsn: string | undefined;
  /** Another worker has the slot. */
  readonly activePid: number | undefined;
  /** Changes that no worker has seen, and nobody was told of. */
  readonly gap: Gap | undefined;
  /** Another worker had the slot since this one streamed. */
  readonly colleague: boolean;
  readonly warnings: readonly WatchError[];
}

type Check = (bound: readonly BoundWatcher[], server: Server) => Promise<readonly ConfigurationIssue[]>;

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
    warnings: [...judgement.warnings, ...warnings],
  }; // prettier-ignore
}

interface Settled {
  readonly facts: Facts;
  readonly judgement: Judgement & { readonly verdict: 'ready' };
  /** Of what was done on the way. */
  readonly warnings: readonly WatchError[];
}

/** Read, judge, apply, until nothing is left to do. Whatever is not in order is looked at again under a lock, alone. */
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
        if (judgement.verdict === 'ready') return { facts, judgement, warnings };
        const waits = judgement.verdict === 'wait';
        if (lock.isOurs && !waits) {
          if (judgement.verdict === 'refused') throw judgement.error;
          const { step } = judgement;
          if (++steps > stepsLimit) throw neverReady(options);
          await apply(client, step, facts, judgement.needs, options);
          if (step.kind === 'publication') warnings.push(...lostTables(facts));
          const adopted = step.kind === 'note slot' && step.adopted;
          if (adopted && facts.server.major >= since.silentPublications) warnings.push(adoptionWarning(options));
          continue;
        }
        if (!waits) {
          // In this order the server reads with the lock held.
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
    lock.release().catch(() => {}); // a session that was lost holds no lock
  }
}

/** Milliseconds. */
const waitInterval = 100;
const racesLimit = 5;
const stepsLimit = 10;

/**
 * What PostgreSQL says when others make, change or drop the same thing in the same moment; "could not open relation" and
 * "tuple concurrently updated" are internal errors.
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
    `the publication '${publication.name}' or its slot was changed again and again`,
    {
      solution: 'walwatch tries again. Check whether something else changes them at the moment.',
    },
  );
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
