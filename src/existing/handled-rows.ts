import type { IsFresh } from '../delivery/recorder.ts';
import type { ChunkRow } from './chunk-row.ts';
import { idOf, type KeyTexts } from './key-order.ts';
import { freshFrom, type Partly, type State } from './state.ts';

/** Rows that some watchers have handled, and others have not: as they were stored, and those of the chunk. */
export function partlyHandled(stored: ReadonlyMap<string, Partly>, rows: readonly ChunkRow[]): readonly Partly[] {
  const partly = new Map(stored);
  for (const { id, key, stage, by } of rows) if (stage === 'given' && by.length > 0) partly.set(id, { key, by });
  return [...partly.values()];
}

/** Which rows a stored state does not count as handled. `last`: the cursor when all rows are handled. */
export function freshRows(
  rows: readonly ChunkRow[],
  last: KeyTexts | undefined,
  { cursor, ahead, partly }: Pick<State, 'cursor' | 'ahead' | 'partly'>,
): IsFresh {
  const isCursor = (key: KeyTexts | undefined) =>
    cursor !== undefined && key !== undefined && idOf(key) === idOf(cursor);
  const end = rows.findLastIndex(({ key, reread }) => !reread && isCursor(key)) + 1;
  const passed = rows.slice(0, isCursor(last) ? rows.length : end).filter(({ reread }) => !reread);
  return freshFrom(
    passed.map(({ key }) => key),
    ahead,
    partly,
  );
}

/** The last key of the range among the first rows. Rows of the list are not part of the range. */
export function lastKeyOf(rows: readonly ChunkRow[], count: number, start: KeyTexts | undefined): KeyTexts | undefined {
  for (let index = count - 1; index >= 0; index--) if (!rows[index]!.reread) return rows[index]!.key;
  return start;
}
