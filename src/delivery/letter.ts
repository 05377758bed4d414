/** What is kept of something that its handler could not handle: PostgreSQL's texts, so that it can be parsed again. */
export interface Letter {
  readonly watcher: string;
  readonly event: Readonly<Record<string, string | null>>;
  readonly context: LetterContext;
}

export interface LetterContext {
  readonly commitLsn: string;
  readonly xid: number;
  /** ISO 8601. */
  readonly committedAt: string;
  /** Of a row change. */
  readonly change?: {
    readonly type: string;
    readonly schema: string;
    readonly table: string;
    readonly ordinal: number;
    readonly previous: Readonly<Record<string, string | null>>;
    readonly absent: readonly string[];
  };
}
