import { noAnnotations } from '../changes/annotations.ts';
import type { Captured } from '../changes/ledger.ts';
import type { Annotations } from '../types/delivery.ts';

type Texts = Readonly<Record<string, string | null>>;

/** The content of a dead letter. Values are PostgreSQL's texts, so that they can be parsed again. */
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
  /** As JSON text: jsonb cannot have every value, such as texts with NUL. */
  readonly annotations?: string;
  /** Only for row changes. */
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
  /** Values that were too long, by name, with their original length: only their beginning is kept. */
  readonly shortened?: Readonly<Record<string, number>>;
}

/** Characters that always fit into jsonb: its limits are 256 MiB per text and 1 GB in total, and a character takes up to 3 bytes in UTF-8. */
const longestText = 64_000_000;
const maxText = 128_000_000;
/** Characters kept of a text that is too long. */
const beginning = 1000;

/** Returns a letter that fits into a row: too long texts are cut, and their original length is recorded. */
export function fitting(letter: Letter, longest = longestText, most = maxText): Letter {
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
  // Do not keep half of a surrogate pair.
  return text.slice(0, beginning).replace(/[\uD800-\uDBFF]$/, '');
}

/** The part of a letter's context with the annotations, if there are any. */
export function annotationsText({ annotations }: Captured): { readonly annotations?: string } {
  return annotations === noAnnotations ? {} : { annotations: JSON.stringify(annotations) };
}

export function annotationsOf({ annotations }: LetterContext): Annotations {
  return annotations === undefined ? noAnnotations : JSON.parse(annotations);
}
