type Texts = Readonly<Record<string, string | null>>;

/** What is kept of something that its handler could not handle: PostgreSQL's texts, so that it can be parsed again. */
export interface Letter {
  readonly watcher: string;
  readonly event: Texts;
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
    readonly previous: Texts;
    readonly absent: readonly string[];
    /** It was read from the table. */
    readonly existing?: boolean;
  };
  /** Values that were too long, by name, with how long they were: only their beginning is kept. */
  readonly shortened?: Readonly<Record<string, number>>;
}

/** Characters that jsonb surely holds: 256 MiB for a text, and a character takes up to 3 bytes in UTF-8; 1 GB for all. */
const longestText = 64_000_000;
const mostText = 128_000_000;
/** Characters that are kept of a text that is too long. */
const beginning = 1000;

/** A letter that fits into a row. Of what is too long the beginning is kept, and its length told. */
export function fitting(letter: Letter, longest = longestText, most = mostText): Letter {
  const { change } = letter.context;
  const values = [letter.event, change?.previous ?? {}].flatMap((texts) => Object.entries(texts));
  const lengths = values.flatMap(([name, text]) =>
    text === null || text === undefined ? [] : [{ name, length: text.length }],
  );
  const shortened: Record<string, number> = { ...letter.context.shortened };
  let sum = lengths.reduce((total, { length }) => total + length, 0);
  for (const { name, length } of lengths.toSorted((a, b) => b.length - a.length)) {
    if (length <= longest && sum <= most) break;
    if (length <= beginning) break;
    shortened[name] = Math.max(length, shortened[name] ?? 0);
    sum -= length - beginning;
  }
  if (Object.keys(shortened).length === 0) return letter;
  const short = (texts: Texts): Texts =>
    Object.fromEntries(
      Object.entries(texts).map(([name, text]) => [name, Object.hasOwn(shortened, name) ? beginningOf(text) : text]),
    );
  return {
    ...letter,
    event: short(letter.event),
    context: {
      ...letter.context,
      ...(change && { change: { ...change, previous: short(change.previous) } }),
      shortened,
    },
  };
}

function beginningOf(text: string | null): string | null {
  if (text === null || text === undefined) return text;
  // Half of a surrogate pair is no text.
  return text.slice(0, beginning).replace(/[\uD800-\uDBFF]$/, '');
}
