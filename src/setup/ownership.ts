import type { Server } from '../postgres/server.ts';
import type { ResolvedOptions } from '../options.ts';
import { isMadeByWalwatch, parseComment } from './marker.ts';
import type { Publication } from './publication.ts';

/**
 * Who owns a publication. `own`: walwatch created it for this slot alone, and may remove unneeded tables. `shared`: other slots of
 * walwatch read it too, so it is only extended. `foreign`: someone else created it, and it may have unknown readers. What they get of
 * their tables must not change.
 */
export type Ownership = 'own' | 'shared' | 'foreign';

type Names = Pick<ResolvedOptions, 'slot' | 'publication'>;

export function ownershipOf(publication: Publication | undefined, options: Names, server: Server): Ownership {
  if (!publication) return 'own';
  const names = { publication: options.publication.name, slot: options.slot.name };
  if (!isMadeByWalwatch(parseComment(publication.comment), names)) return 'foreign';
  return otherSlots(publication, options, server).length > 0 ? 'shared' : 'own';
}

/** Other slots of walwatch that read the publication. A clone of the database has the comments of the original, but not its slots. */
export function otherSlots(publication: Publication | undefined, { slot }: Names, server: Server): string[] {
  const { markers } = parseComment(publication?.comment ?? null);
  const here = markers.filter(({ databaseOid }) => databaseOid === server.databaseOid);
  return here.map((marker) => marker.slot).filter((name) => name !== slot.name);
}
