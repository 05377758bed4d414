/**
 * What walwatch remembers in the comment of a publication, one line each, below the user's own text: of each slot where and
 * when it was made and who used it, because a slot that somebody dropped or moved could not be told from a first start or a colleague otherwise; and whether
 * walwatch made the publication, because it takes nothing away from one that somebody else made.
 */
export interface Marker {
  readonly version: 1;
  readonly slot: string;
  readonly systemIdentifier: string;
  readonly databaseOid: number;
  readonly publicationOid: number;
  readonly createdLsn: string;
  /** The slot is made anew, or was, and nobody was told yet. */
  readonly gap?: PendingGap;
  /** The worker that had the slot last: what another one acknowledged was not acknowledged by a stranger. */
  readonly worker?: string;
  /** The names of its watchers. */
  readonly watchers?: readonly string[];
  /** Watchers that earlier workers had, and the position from which on a worker without them had the slot. */
  readonly paused?: Readonly<Record<string, string>>;
  /** Where the slot stood when that worker stopped, so that it shows when somebody moves it meanwhile. */
  readonly stopped?: string;
}

/**
 * What a worker that may not change the comment can rely on: what others note of themselves is out of date while it has the
 * slot, and what they could not tell would be told again at each start.
 */
export function identityOf(marker: Marker): Marker {
  const { version, slot, systemIdentifier, databaseOid, publicationOid, createdLsn } = marker;
  return { version, slot, systemIdentifier, databaseOid, publicationOid, createdLsn };
}

/** So many watchers that earlier versions of the application had are remembered. */
const mostPaused = 100;

/** The marker of a worker that has begun to stream from `position` on, and has told what there was to tell. */
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
  return { ...marker, worker, watchers, paused };
}

/** It is written before a lost slot is replaced, and taken away once a worker streams: a crash in between hides no gap. */
interface PendingGap {
  readonly from?: string;
  /** Where the new slot begins, once it is made. */
  readonly to?: string;
  readonly reason: string;
}

export interface Comment {
  /** The user's own. */
  readonly text: string;
  /** Whether walwatch made the publication. Undefined: a version that did not note it was here, or nobody was. */
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

/** The comment of a publication that walwatch makes. */
export const createdComment = formatComment({ text: '', created: true, markers: [] });

/** The comment with `marker` in place of an older one of the same slot. The first one notes that the publication was there before. */
export function withMarker(comment: string | null, marker: Marker): string {
  const { text, created, markers } = parseComment(comment);
  const others = markers.filter(({ slot }) => slot !== marker.slot);
  const known = created ?? (markers.length === 0 ? false : undefined);
  return formatComment({ text, created: known, markers: [...others, marker] });
}

/** The comment without the marker of a slot. */
export function withoutMarker(comment: string | null, slot: string): string {
  const parsed = parseComment(comment);
  return formatComment({ ...parsed, markers: parsed.markers.filter((marker) => marker.slot !== slot) });
}

/**
 * Whether walwatch made the publication, and may take from it what its watchers do not need. Versions that did not note it
 * are trusted where the name is the slot's and no other slot uses it, so that they go on as before after an upgrade.
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
