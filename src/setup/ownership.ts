import type { Server } from '../postgres/server.ts';
import type { ResolvedOptions } from '../options.ts';
import { isMadeByWalwatch, parseComment } from './marker.ts';
import type { Publication } from './publication.ts';

/**
 * Whose a publication is. `own`: walwatch made it for this slot alone, and may take away what is not needed. `shared`: other
 * slots of walwatch read it too, so it is only widened. `foreign`: somebody else made it, and it may have readers that
 * nobody knows of: what they get of their tables must not change.
 */
export type Ownership = 'own' | 'shared' | 'foreign';

type Names = Pick<ResolvedOptions, 'slot' | 'publication'>;

export function ownershipOf(publication: Publication | undefined, options: Names, server: Server): Ownership {
  if (!publication) return 'own';
  const names = { publication: options.publication.name, slot: options.slot.name };
  if (!isMadeByWalwatch(parseComment(publication.comment), names)) return 'foreign';
  return otherSlots(publication, options, server).length > 0 ? 'shared' : 'own';
}

/** Those that read the same publication, as far as walwatch made them. A clone of the database copies comments, but no slots. */
export function otherSlots(publication: Publication | undefined, { slot }: Names, server: Server): string[] {
  const { markers } = parseComment(publication?.comment ?? null);
  const here = markers.filter(({ databaseOid }) => databaseOid === server.databaseOid);
  return here.map((marker) => marker.slot).filter((name) => name !== slot.name);
}
