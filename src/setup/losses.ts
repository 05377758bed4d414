import { quoteIdentifier, quoteTable } from '../postgres/server.ts';
import { WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import { stillStandby } from './classify.ts';
import type { Facts } from './facts.ts';
import type { Memory } from './memory.ts';
import { publicationLost } from './publication.ts';
import { judgeSlot, type SlotVerdict } from './history.ts';
import { slotCreation, slotLost } from './slot.ts';

/** Losses that no statement can undo. */
export function judgeLosses(
  facts: Facts,
  memory: Memory,
  options: ResolvedOptions,
): { readonly about: 'slot' | 'publication'; readonly error: WatchError }[] {
  // Each connection creates the temporary slot again, and its publication may be new, too.
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
        `the publication '${names.publication}' was dropped and re-created while it was in use${last}`,
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

/** The server is a standby whose slot cannot be read yet: it will be promoted, or the address leads to it only for a moment. */
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

/** Tables that an earlier worker watched and that the publication lost afterwards. Changes written to them in between were not sent. */
export function lostTables({ publication, marker, bound }: Facts): WatchError[] {
  if (!publication || !marker?.watchers) return []; // a missing publication is reported separately
  const before = new Set(marker.watchers);
  const lost = bound
    // Without publish_via_partition_root, a partitioned table is not carried under its own name.
    .filter(({ watcher, table }) => before.has(watcher.name) && (table.kind !== 'p' || publication.viaRoot))
    .map(({ table }) => quoteTable(table))
    .filter((table) => !publication.carried.has(table));
  return [...new Set(lost)].map(
    (table) =>
      new WatchError(
        'PUBLICATION_CHANGED',
        `${table} was no longer in the publication of the slot '${marker.slot}', although the previous worker watched it: it was dropped and re-created, or removed by hand`,
        {
          solution:
            'It was added again. Changes written in between were not sent: bring everything that depends on them up to date. In migrations, add the table to the publication in the transaction that creates it.',
        },
      ),
  );
}

/** Another publication has the same name now. */
function publicationReplaced({ slot, publication }: ResolvedOptions): WatchError {
  return new WatchError(
    'PUBLICATION_CHANGED',
    `the publication '${publication.name}' is not the one that the slot '${slot.name}' was created with`,
    {
      solution: `It was re-created, or its comment was copied. If no change was missed: COMMENT ON PUBLICATION ${quoteIdentifier(publication.name)} IS NULL;`,
    },
  );
}
