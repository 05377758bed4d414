/** What this process knows from its earlier connections. */
export interface Memory {
  /** What tells this worker from others in the marker. */
  readonly worker: string;
  /** Last position that was sent as flushed. */
  readonly acknowledged: string | undefined;
  readonly publicationOid: number | undefined;
  /** Of the last walsender. */
  readonly pid: number | undefined;
  /** The last server that it streamed from was no standby. */
  readonly onPrimary: boolean;
  /** Why the slot is lost, where only the stream told. */
  readonly lost: string | undefined;
  /** By quoted name. */
  readonly tableOids: ReadonlyMap<string, number>;
}

/** What a worker knows before its first connection. */
export const noMemory: Memory = {
  worker: '', acknowledged: undefined, publicationOid: undefined, pid: undefined, onPrimary: false, lost: undefined, tableOids: new Map(),
}; // prettier-ignore
