/** What this process knows from its earlier connections. */
export interface Memory {
  /** Last position that was sent as flushed. */
  readonly acknowledged: string | undefined;
  readonly publicationOid: number | undefined;
  /** Of the last walsender. */
  readonly pid: number | undefined;
  /** By quoted name. */
  readonly tableOids: ReadonlyMap<string, number>;
}

/** What a worker knows before its first connection. */
export const noMemory: Memory = {
  acknowledged: undefined, publicationOid: undefined, pid: undefined, tableOids: new Map(),
}; // prettier-ignore
