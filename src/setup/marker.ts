/**
 * What walwatch stores in the comment of a publication, one line each, below the user's own text:
 *
 * - for each slot, where and when it was created and who used it. Without that, a slot that was dropped or moved would look like a
 *   first start or like one that another worker moved;
 * - whether walwatch created the publication, because it removes nothing from one that someone else created.
 */
export interface Marker {
  readonly version: 1;
  readonly slot: string;
  readonly systemIdentifier: string;
  readonly databaseOid: number;
  readonly publicationOid: number;
  readonly createdLsn: string;
  /** The slot is being re-created, or was, and the gap was not reported yet. */
  readonly gap?: PendingGap;
  /** The worker that had the slot last. It tells its acknowledgements from those of a stranger. */
  readonly worker?: string;
  /** That worker, once it has noted which stored tables of walwatch.existing it does not read. Older versions keep what another one wrote. */
  readonly attended?: string;
  /** The names of its watchers. */
  readonly watchers?: readonly string[];
  /** Watchers that earlier workers had, with the position at which a worker without them took the slot. */
  readonly paused?: Readonly<Record<string, string>>;
  /** The slot's position when that worker stopped. It shows whether someone moved the slot since. */
  readonly stopped?: string;
}

/**
 * The part of a marker that is reliable for a worker that may not change the comment. The rest describes other workers: it is out of
 * date while this one has the slot, and would be reported again at each start.
 */
export function identityOf(marker: Marker): Marker {
  const { version, slot, systemIdentifier, databaseOid, publicationOid, createdLsn } = marker;
  return { version, slot, systemIdentifier, databaseOid, publicationOid, createdLsn };
}

/** How many watchers of earlier versions of the application are remembered. */
const mostPaused = 100;

/** The marker of a worker that has begun to stream at `position` and has reported all gaps. */
export function claimed(
  { stopped: _stopped, gap: _gap, ...marker }: Marker,
  { worker, watchers }: { readonly worker: string; readonly watchers: readonly string[] },
  position: string,
): Marker {
  const missing = [...Object.keys(marker.paused ?? {}), ...(marker.watchers ?? [])].filter(
    (name) => !watchers.includes(name),
  );
  const paused = Object.fromEntries(
    [...new Set(missing)].slice(-mostPaused).map((name) => [name, marker.paused?.[name] ?? position]),
  );
  return { ...marker, worker, attended: worker, watchers, paused };
}

/** The last worker, if it is of an older version, which notes nothing in walwatch.existing. */
export function unattended({ worker, attended }: Marker): string | undefined {
  return worker === attended ? undefined : worker;
}

/** Written before a lost slot is replaced, and removed when a worker streams. So a crash in between hides no gap. */
interface PendingGap {
  readonly from?: string;
  /** Where the new slot begins. Undefined until it was created. */
  readonly to?: string;
  readonly reason: string;
}

export interface Comment {
  /** The user's own text. */
  readonly text: string;
  /** Whether walwatch created the publication. Undefined: unknown, because an older version did not store it, or no worker was here. */
  readonly created: boolean | undefined;
  readonly markers: readonly Marker[];
}

const slotLabel = 'walwatch: ';
const publicationLabel = 'walwatch publication: ';

export function parseComment(comment: string | null): Comment {
  const markers: Marker[] = [];
  let created: boolean | undefined;
  const text = (comment ?? '').split('\n').filter((line) => {
    const marker = parseLine(line, slotLabel);
    const note = parseLine(line, publicationLabel);
    if (isMarker(marker)) markers.push(marker);
    else if (isNote(note)) ({ created } = note);
    else return true;
    return false;
  });
  return { text: text.join('\n'), created, markers };
}

function formatComment({ text, created, markers }: Comment): string {
  return [
    ...(text === '' ? [] : [text]),
    ...markers.map((marker) => slotLabel + JSON.stringify(marker)),
    ...(created === undefined ? [] : [publicationLabel + JSON.stringify({ version: 1, created })]),
  ].join('\n');
}

/** The comment of a publication that walwatch creates. */
export const createdComment = formatComment({ text: '', created: true, markers: [] });

/** Adds `marker` to the comment, or replaces the one of the same slot. The first marker also stores that the publication existed before. */
export function withMarker(comment: string | null, marker: Marker): string {
  const { text, created, markers } = parseComment(comment);
  const others = markers.filter(({ slot }) => slot !== marker.slot);
  const known = created ?? (markers.length === 0 ? false : undefined);
  return formatComment({ text, created: known, markers: [...others, marker] });
}

/** Removes the marker of a slot from the comment. */
export function withoutMarker(comment: string | null, slot: string): string {
  const parsed = parseComment(comment);
  return formatComment({ ...parsed, markers: parsed.markers.filter((marker) => marker.slot !== slot) });
}

/**
 * Whether walwatch created the publication, and so may remove what its watchers do not need. Older versions did not store this. For
 * them it counts as created by walwatch if it has the slot's name and no other slot uses it, so that an upgrade changes nothing.
 */
export function isMadeByWalwatch({ created, markers }: Comment, names: { publication: string; slot: string }): boolean {
  const alone = markers.length === 1 && markers[0]!.slot === names.slot && names.publication === names.slot;
  return created ?? alone;
}

function parseLine(line: string, label: string): unknown {
  if (!line.startsWith(label)) return undefined;
  try {
    return JSON.parse(line.slice(label.length));
  } catch {
    return undefined; // the user's own text
  }
}

function isMarker(value: unknown): value is Marker {
  const marker = value as Partial<Marker> | null;
  return (
    typeof marker === 'object' &&
    marker?.version === 1 &&
    typeof marker.slot === 'string' &&
    typeof marker.systemIdentifier === 'string' &&
    typeof marker.databaseOid === 'number' &&
    typeof marker.publicationOid === 'number' &&
    typeof marker.createdLsn === 'string' &&
    (marker.gap === undefined || typeof marker.gap?.reason === 'string')
  );
}

function isNote(value: unknown): value is { readonly created: boolean } {
  const note = value as { version?: unknown; created?: unknown } | null;
  return typeof note === 'object' && note?.version === 1 && typeof note.created === 'boolean';
}
