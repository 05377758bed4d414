/** What this process remembers from its earlier connections. */
export interface Memory {
  /** Identifies this worker in the marker. */
  readonly worker: string;
  /** The last position that was sent as flushed. */
  readonly acknowledged: string | undefined;
  readonly publicationOid: number | undefined;
  /** Process ID of the last walsender. */
  readonly pid: number | undefined;
  /** The last server that it streamed from was a primary. */
  readonly onPrimary: boolean;
  /** Why the slot is lost, if only the stream reported it. */
  readonly lost: string | undefined;
  /** OIDs by quoted name. */
  readonly tableOids: ReadonlyMap<string, number>;
}

/** What a worker knows before its first connection. */
export const noMemory: Memory = {
  worker: '', acknowledged: undefined, publicationOid: undefined, pid: undefined, onPrimary: false, lost: undefined, tableOids: new Map(),
}; // prettier-ignore
