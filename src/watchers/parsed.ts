import pg from 'pg';
import type { Tuple } from '../postgres/pgoutput/messages.ts';
import type { TypeCatalog } from '../postgres/types.ts';

/** A column whose value is parsed into something that takes memory besides its text. */
export interface ParsedColumn {
  readonly slot: number;
  /** Bytes for each character of the text. */
  readonly growth: number;
}

const { BOOL, INT2, INT4, INT8, OID, FLOAT4, FLOAT8, DATE, TIMESTAMP, TIMESTAMPTZ, BYTEA } = pg.types.builtins;
/** What takes a few bytes whatever its value. */
const small = new Set<number>([BOOL, INT2, INT4, INT8, OID, FLOAT4, FLOAT8, DATE, TIMESTAMP, TIMESTAMPTZ]);
/** What pg does with types that it leaves as they are. */
const asText = pg.types.getTypeParser(pg.types.builtins.TEXT, 'text');
/** Measured: two and a half for documents of JSON and arrays of numbers, less for long texts in them, more for arrays of words. */
const growth = 3;

/** Those of the columns, each once. */
export function parsedColumns(
  columns: Iterable<{ readonly slot: number; readonly typeOid: number }>,
  types: TypeCatalog,
): readonly ParsedColumn[] {
  const found = new Map<number, ParsedColumn>();
  for (const { slot, typeOid } of columns) {
    if (slot === -1 || small.has(typeOid) || types.parser(typeOid) === asText) continue;
    found.set(slot, { slot, growth: typeOid === BYTEA ? 0.5 : growth }); // two digits of bytea are a byte
  }
  return [...found.values()];
}

/** Bytes that the parsed values of a row take, or will take once they are read. */
export function parsedBytes(columns: readonly ParsedColumn[], row: Tuple, old: Tuple | undefined): number {
  let bytes = 0;
  for (const { slot, growth } of columns) {
    const text = row[slot] ?? old?.[slot]; // unchanged TOAST: the old row has it
    if (typeof text === 'string') bytes += text.length * growth;
  }
  return bytes;
}
