import { quoteIdentifier, since } from '../postgres/server.ts';
import { WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Facts } from './facts.ts';
import type { Memory } from './memory.ts';
import { publicationLost } from './publication.ts';
import { judgeMoved, judgeSlot, slotCreation, slotLost, type SlotVerdict } from './slot.ts';

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
  const moved = judgeMoved({ name, slot, marker, acknowledged: memory.acknowledged, pid: memory.pid });
  if (moved) all.push({ about: 'slot', error: moved });
  const verdict = judgeSlotOf(facts, memory, options);
  if (verdict.kind === 'lost') {
    const byHand = manage === 'verify' || server.inRecovery ? slotCreation(name, failover) : undefined;
    all.push({ about: 'slot', error: slotLost(name, verdict.reason, verdict.from, byHand) });
  }
  return all;
}

export function judgeSlotOf({ slot, marker, server }: Facts, memory: Memory, options: ResolvedOptions): SlotVerdict {
  const others = slot?.activePid !== undefined && slot.activePid !== memory.pid;
  const acknowledged = others ? undefined : memory.acknowledged;
  return judgeSlot({ name: options.slot.name, slot, marker, server, acknowledged });
}

/** A standby where the slot cannot be read yet: the address may lead to it before its promotion, or for a moment only. */
export function beforePromotion(
  { server, slot }: Facts,
  memory: Memory,
  { slot: { name } }: ResolvedOptions,
): WatchError | undefined {
  if (!server.inRecovery) return undefined;
  const streamed = memory.pid !== undefined;
  const unusable = server.major < since.standbyDecoding || slot === undefined;
  if (!slot?.synced && !(streamed && unusable)) return undefined;
  const what = slot?.synced
    ? `its copy of the slot '${name}' cannot be read before it is promoted`
    : `the slot '${name}' cannot be read there`;
  return new WatchError('SERVER_BUSY', `the server is a standby, and ${what}`, {
    solution: 'It is tried again: until it is promoted, or the address leads to the primary.',
  });
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
