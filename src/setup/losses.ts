import { quoteIdentifier, quoteTable } from '../postgres/server.ts';
import { WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import { stillStandby } from './classify.ts';
import type { Facts } from './facts.ts';
import type { Memory } from './memory.ts';
import { publicationLost } from './publication.ts';
import { judgeSlot, type SlotVerdict } from './history.ts';
import { slotCreation, slotLost } from './slot.ts';

/** What no statement brings back. */
export function judgeLosses(
  facts: Facts,
  memory: Memory,
  options: ResolvedOptions,
): { readonly about: 'slot' | 'publication'; readonly error: WatchError }[] {
  // A temporary slot begins anew with each connection, and so may its publication.
  if (options.slot.temporary) return [];
  const { publication, slot, marker, server, manage } = facts;
  const { name, failover } = options.slot;
  const names = { slot: name, publication: options.publication.name };
  const last = memory.acknowledged === undefined ? '' : ` (last acknowledged: ${memory.acknowledged})`;
  const all: { about: 'slot' | 'publication'; error: WatchError }[] = [];
  const lost = (error: WatchError) => all.push({ about: 'publication', error });
  if (publication === undefined && (slot !== undefined || memory.publicationOid !== undefined)) {
    lost(
      publicationLost(
        `the publication '${names.publication}' is missing, but its slot '${name}' has been in use${last}`,
        names,
      ),
    );
  } else if (publication && memory.publicationOid !== undefined && memory.publicationOid !== publication.oid) {
    lost(
      publicationLost(
        `the publication '${names.publication}' was dropped and made anew while it was in use${last}`,
        names,
      ),
    );
  } else if (publication && slot && marker && marker.publicationOid !== publication.oid) {
    lost(publicationReplaced(options));
  }
  const verdict = judgeSlotOf(facts, memory, options);
  if (verdict.kind === 'moved' && verdict.certain) all.push({ about: 'slot', error: verdict.error });
  if (verdict.kind === 'lost') {
    const byHand = manage === 'verify' || server.inRecovery ? slotCreation(name, failover) : undefined;
    all.push({ about: 'slot', error: slotLost(name, verdict.reason, verdict.from, byHand) });
  }
  return all;
}

export function judgeSlotOf(
  { slot, marker, server, bound }: Facts,
  memory: Memory,
  options: ResolvedOptions,
): SlotVerdict {
  const watchers = bound.map(({ watcher }) => watcher.name);
  return judgeSlot({ name: options.slot.name, slot, marker, server, watchers, ...memory });
}

/** A standby where the slot cannot be read yet: the address may lead to it before its promotion, or for a moment only. */
export function beforePromotion(
  { server, slot }: Facts,
  memory: Memory,
  { slot: { name } }: ResolvedOptions,
): WatchError | undefined {
  if (!server.inRecovery) return undefined;
  if (!slot?.synced && !memory.onPrimary) return undefined;
  return stillStandby(
    slot?.synced
      ? `its copy of the slot '${name}' cannot be read before it is promoted`
      : 'this worker streams from the primary',
  );
}

/** Tables that an earlier worker watched and the publication has lost since: what was written to them meanwhile was not sent. */
export function lostTables({ publication, marker, bound }: Facts): WatchError[] {
  if (!publication || !marker?.watchers) return []; // that the publication is missing is told by itself
  const before = new Set(marker.watchers);
  const lost = bound
    .filter(({ watcher }) => before.has(watcher.name))
    .map(({ table }) => quoteTable(table))
    .filter((table) => !publication.carried.has(table));
  return [...new Set(lost)].map(
    (table) =>
      new WatchError(
        'PUBLICATION_CHANGED',
        `${table} was no longer in the publication of the slot '${marker.slot}', though the worker before this one watched it: it was dropped and made anew, or taken out by hand`,
        {
          solution:
            'It is in it again. What was written in between was not sent: bring up to date what depends on it. In migrations, add the table to the publication in the transaction that makes it.',
        },
      ),
  );
}

/** Another publication has its name now. */
function publicationReplaced({ slot, publication }: ResolvedOptions): WatchError {
  return new WatchError(
    'PUBLICATION_CHANGED',
    `the publication '${publication.name}' is not the one that the slot '${slot.name}' was made with`,
    {
      solution: `It was made anew, or its comment was copied. If no change was missed: COMMENT ON PUBLICATION ${quoteIdentifier(publication.name)} IS NULL;`,
    },
  );
}
