/**
 * What walwatch remembers in the comment of its publication: for each slot, where and when it was made and who used it.
 * Without it, a slot that somebody dropped could not be told from a first start.
 */
export interface Marker {
  readonly version: 1;
  readonly slot: string;
  readonly systemIdentifier: string;
  readonly databaseOid: number;
  readonly publicationOid: number;
  readonly createdLsn: string;
  /** The worker that had the slot last: what another one acknowledged was not acknowledged by a stranger. */
  readonly worker?: string;
  /** The names of its watchers. */
  readonly watchers?: readonly string[];
  /** Watchers that earlier workers had, and the position from which on a worker without them had the slot. */
  readonly paused?: Readonly<Record<string, string>>;
  /** Where the slot stood when that worker stopped, so that it shows when somebody moves it meanwhile. */
  readonly stopped?: string;
  /** A gap that could not be told yet. */
  readonly gap?: { readonly from: string | undefined; readonly to: string; readonly reason: string };
}

/** So many watchers that earlier versions of the application had are remembered. */
const mostPaused = 100;

/** The marker of a worker that begins to stream from `position` on. */
export function claimed(
  { stopped: _, gap: __, ...marker }: Marker,
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

const label = 'walwatch: ';

/** Parts a comment into the user's own text and the markers. */
export function parseComment(comment: string | null): { readonly text: string; readonly markers: readonly Marker[] } {
  const lines = (comment ?? '').split('\n');
  const markers: Marker[] = [];
  const text = lines.filter((line) => {
    if (!line.startsWith(label)) return true;
    try {
      const marker: unknown = JSON.parse(line.slice(label.length));
      if (!isMarker(marker)) return true;
      markers.push(marker);
      return false;
    } catch {
      return true;
    }
  });
  return { text: text.join('\n'), markers };
}

/** The comment with `marker` in place of an older one of the same slot. */
export function withMarker(comment: string | null, marker: Marker): string {
  const { text, markers } = parseComment(comment);
  const others = markers.filter(({ slot }) => slot !== marker.slot);
  const lines = [...others, marker].map((one) => label + JSON.stringify(one));
  return [...(text === '' ? [] : [text]), ...lines].join('\n');
}

/** The comment without the marker of a slot. */
export function withoutMarker(comment: string | null, slot: string): string {
  const { text, markers } = parseComment(comment);
  const lines = markers.filter((marker) => marker.slot !== slot).map((one) => label + JSON.stringify(one));
  return [...(text === '' ? [] : [text]), ...lines].join('\n');
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
    typeof marker.createdLsn === 'string'
  );
}
