import type { CapturedChange } from '../changes/change.ts';
import type { LedgerTransaction } from '../changes/ledger.ts';
import type { IsFresh, RecordedRow } from '../delivery/recorder.ts';
import { isVisible, type Snapshot } from '../stream/visibility.ts';
import { currentText, previousText } from '../watchers/plan.ts';
import type { Chunk, ReadPlan } from './chunk.ts';
import { ChunkRow } from './chunk-row.ts';
import { freshRows, lastKeyOf, partlyHandled } from './handled-rows.ts';
import { chunkTransaction, ExistingChange } from './existing-row.ts';
import { KeyChanges } from './key-changes.ts';
import { KeyColumns } from './key-columns.ts';
import { idOf, type KeyTexts } from './key-order.ts';
import type { TableReadingHost } from './table-reading-host.ts';
import type { Moved, Partly, State } from './state.ts';

const none: readonly string[] = [];

/**
 * The rows of one table on their way to one subscription. Changes keep their order and are never held back: the rows of a chunk
 * move in between them. A row is given before the first change of its record that the chunk's snapshot does not see.
 * Writers of one record wait for each other, so all changes of it that the snapshot sees came before.
 */
export class TableReading {
  readonly #host: TableReadingHost;
  readonly #scope: string;
  readonly #columns: KeyColumns;
  readonly keyChanges: KeyChanges;
  #end: KeyTexts | undefined;
  #rows: readonly ChunkRow[] = [];
  /** Rows that are not given yet. */
  #pending = 0;
  /** By id, all of the chunk. Made when it is needed. */
  #byId: ReadonlyMap<string, ChunkRow> | undefined;
  #snapshot: Snapshot | undefined;
  /** The key up to which the table was read before the current chunk. */
  #start: KeyTexts | undefined;
  /** The last key that the current chunk has scanned. */
  #last: KeyTexts | undefined;
  /** Rows at the beginning of the chunk that are handled. */
  #prefix = 0;
  /** The next row that may be given. */
  #next = 0;
  /** Handled before their turn, by id: in the current chunk, or beyond it by a process that has ended. */
  readonly #ahead: Map<string, KeyTexts>;
  /** Handled by some of the watchers, by id. */
  readonly #partly: Map<string, Partly>;
  /** Rows of the current chunk that were handled before it was read. */
  #passed: string[] = [];
  handled: number;
  #exhausted = false;
  /** The range is read to its end, and no row that changed its key is left. */
  done = false;
  #follows: boolean;
  /** The last key change that was noted. */
  #moved: Moved;
  readonly #movedBefore: Moved;
  given = 0;

  /** `scope`: what the event ids of its rows begin with. `keyNames`: the key's columns in the database, in the order of the index. */
  constructor(host: TableReadingHost, scope: string, keyNames: readonly string[], state: State) {
    this.#host = host;
    this.#scope = scope;
    this.#columns = new KeyColumns(keyNames, host.watchers);
    this.#end = state.end;
    this.#start = this.#last = state.cursor;
    this.#ahead = new Map(state.ahead.map((key) => [idOf(key), key]));
    this.#partly = new Map(state.partly.map((one) => [idOf(one.key), one]));
    this.handled = state.rows;
    this.done = state.done;
    this.#follows = state.end !== undefined;
    this.#moved = this.#movedBefore = state.moved;
    this.keyChanges = new KeyChanges(host.ledger, state.reread);
  }

  /** Where the next chunk begins. */
  get start(): KeyTexts | undefined {
    return this.#start;
  }

  /** Nothing of the chunk is left. */
  get chunkDone(): boolean {
    return this.#pending === 0 && this.given === 0;
  }

  /** Where reading ends; undefined: not known yet. */
  get end(): KeyTexts | undefined {
    return this.#end;
  }

  /** The current state, to be stored. */
  state(run: number, reread = this.keyChanges.all): State {
    return {
      run,
      done: this.done,
      end: this.#end,
      cursor: this.#cursorAt(this.#prefix),
      ahead: [...this.#ahead.values()],
      partly: this.#host.recorder ? this.#partlyHandled() : [],
      reread,
      moved: this.#moved,
      rows: this.handled,
    };
  }

  /** The state to store when these rows are handled as well. */
  stateAfter(run: number, handled: readonly RecordedRow[]): State {
    const now = new Map<ChunkRow, string[]>();
    for (const { change, watcher } of handled) {
      const row = this.#rowAt((change as ExistingChange).key);
      if (row?.change === change) now.set(row, [...(now.get(row) ?? []), watcher!]);
    }
    const isHandled = (row: ChunkRow | undefined) =>
      row !== undefined && (row.stage === 'handled' || now.get(row)?.length === row.open);
    let prefix = this.#prefix;
    while (isHandled(this.#rows[prefix])) prefix++;
    const whole = [...now.keys()].filter(isHandled);
    const ahead = new Map(this.#ahead);
    for (const { id, key, replaced } of whole) if (!replaced) ahead.set(id, key);
    for (const { id, reread } of this.#rows.slice(this.#prefix, prefix)) if (!reread) ahead.delete(id);
    const partly = new Map(this.#partlyHandled().map((one) => [idOf(one.key), one]));
    for (const [row, by] of now)
      if (isHandled(row)) partly.delete(row.id);
      else partly.set(row.id, { key: row.key, by: [...row.by, ...by] });
    const state = this.state(run);
    return {
      ...state,
      cursor: this.#cursorAt(prefix),
      ahead: [...ahead.values()],
      partly: [...partly.values()],
      rows: state.rows + whole.length,
    };
  }

  /** What a stored state does not have as handled. */
  freshOf(stored: Pick<State, 'cursor' | 'ahead' | 'partly'>): IsFresh {
    return freshRows(this.#rows, this.#last, stored);
  }

  /** From now on key changes are noted: where reading ends is asked next. */
  follow(): void {
    this.#follows = true;
  }

  /** Rows with a key after this one came in after the stream began. Undefined: the table has no rows. */
  endAt(end: KeyTexts | undefined): void {
    this.#end = end;
    if (end !== undefined) return;
    this.#exhausted = true;
    this.keyChanges.clear();
  }

  /** A chunk was read. Call `next()` from now on, and `before()` for each change. */
  load(chunk: Chunk, { plan }: ReadPlan, readAt: number): void {
    const transaction: LedgerTransaction = chunkTransaction(readAt);
    const handled = (row: ChunkRow) => this.#settled(row);
    this.#snapshot = chunk.snapshot;
    this.#prefix = this.#next = 0;
    this.#passed = [];
    const rows: ChunkRow[] = [];
    // Only a chunk with rows of the list may have a key twice.
    const ids = chunk.rows.some(({ reread }) => reread) ? new Set<string>() : undefined;
    for (const { key, row, reread } of chunk.rows) {
      const id = idOf(key);
      if (this.#ahead.size > 0 && this.#ahead.has(id)) {
        this.#passed.push(id);
        continue;
      }
      if (ids && ids.size === ids.add(id).size) continue;
      const change = new ExistingChange(transaction, plan, row, key, this.#scope, this.#host.recorder);
      rows.push(new ChunkRow(key, change, reread, this.#partly.get(id)?.by ?? none, handled));
    }
    this.#pending = rows.length;
    this.#setRows(rows);
    this.#last = chunk.last ?? this.#start;
    this.#exhausted = chunk.exhausted;
  }

  /** The first row that waits. It may only be given when everything that the snapshot sees has passed. */
  next(): ChunkRow | undefined {
    const rows = this.#rows;
    while (this.#next < rows.length && rows[this.#next]!.stage !== 'pending') this.#next++;
    return rows[this.#next];
  }

  give(row: ChunkRow): void {
    row.stage = 'given';
    this.#pending--;
    this.given++;
    this.#host.give(row);
  }

  /** Before a change of the table is routed. */
  before(change: CapturedChange): void {
    const unseen = this.#snapshot === undefined || !isVisible(change.transaction.xid, this.#snapshot);
    const { row, old, type, plan } = change;
    if (type === 'truncated') {
      if (unseen) this.#giveAll();
      return;
    }
    const columns = this.#columns.of(plan);
    if (columns === undefined) return; // of no watcher of this subscription
    const now = columns.text((column) => currentText(column, row, old));
    const before = type === 'updated' ? columns.text((column) => previousText(column, row, old)) : now;
    if (unseen && this.#pending > 0) {
      if (now === undefined || before === undefined)
        this.#giveAll(); // it may be about any record
      else {
        this.#pull(before);
        if (idOf(now) !== idOf(before)) this.#pull(now);
      }
    }
    if (now !== undefined && before !== undefined && idOf(now) !== idOf(before))
      this.#keyChanged(change, before, now, unseen);
  }

  /** The chunk is over: its rows that were not given are read again. Those that were given count when they are handled. */
  discard(): void {
    this.keyChanges.giveUp();
    if (this.#pending > 0) this.#exhausted = false;
    this.#pending = 0;
    this.#next = this.#rows.length;
    this.#snapshot = undefined;
  }

  /** All rows of the chunk are handled, or it was discarded: the next one may be read. */
  finish(): void {
    this.#start = this.#cursorAt(this.#prefix);
    const whole = this.#prefix === this.#rows.length;
    if (whole) {
      for (const { id } of this.#rows) this.#ahead.delete(id);
      for (const id of this.#passed) this.#ahead.delete(id);
      this.keyChanges.handled();
    }
    this.#setRows([]);
    this.#prefix = this.#next = 0;
    this.#last = this.#start;
    this.#snapshot = undefined;
    const { all, tooMany } = this.keyChanges;
    this.done ||= whole && this.#exhausted && !tooMany && all.length === 0;
  }

  /** Rule 6: the row may have moved from where reading will come to where it has been. */
  #keyChanged(change: CapturedChange, from: KeyTexts, to: KeyTexts, unseen: boolean): void {
    if (this.done || !this.#follows) return;
    const { transaction, ordinal } = change;
    const [lsn, place] = this.#movedBefore;
    // It is in the list that was stored.
    if (transaction.finalLsn < lsn || (transaction.finalLsn === lsn && ordinal <= place)) return;
    const there = this.#rowAt(to);
    if (!this.keyChanges.tooMany) this.#moved = [transaction.finalLsn, ordinal];
    if (!unseen && there) return; // the chunk has it at its new key
    this.#ahead.delete(idOf(to));
    this.#partly.delete(idOf(to));
    if (there) there.replaced = true;
    // What the snapshot sees was not at its old key when the chunk was read.
    const start = unseen && this.#snapshot !== undefined ? this.#last : this.#start;
    this.keyChanges.add(change, { from, to, start }, !unseen);
  }

  #cursorAt(prefix: number): KeyTexts | undefined {
    return prefix === this.#rows.length ? this.#last : lastKeyOf(this.#rows, prefix, this.#start);
  }

  #setRows(rows: readonly ChunkRow[]): void {
    this.#rows = rows;
    this.#byId = undefined;
  }

  #rowAt(key: KeyTexts): ChunkRow | undefined {
    return (this.#byId ??= new Map(this.#rows.map((row) => [row.id, row]))).get(idOf(key));
  }

  #partlyHandled(): readonly Partly[] {
    return this.#host.watchers.size === 1 ? [] : partlyHandled(this.#partly, this.#rows);
  }

  #giveAll(): void {
    for (const row of this.#rows) {
      if (this.#pending === 0) return; // none is left, or a handler has ended the subscription
      if (row.stage === 'pending') this.give(row);
    }
  }

  #pull(key: KeyTexts): void {
    const row = this.#rowAt(key);
    if (row?.stage === 'pending') this.give(row);
  }

  #settled(row: ChunkRow): void {
    row.stage = 'handled';
    this.given--;
    if (row.isWanted) this.handled++;
    this.#partly.delete(row.id);
    if (row === this.#rows[this.#prefix] && !row.reread) this.#prefix++;
    else if (!row.replaced) this.#ahead.set(row.id, row.key);
    for (let next = this.#rows[this.#prefix]; next?.stage === 'handled'; next = this.#rows[++this.#prefix])
      if (!next.reread) this.#ahead.delete(next.id);
    this.#host.wake();
  }
}
