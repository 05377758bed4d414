import type { CapturedChange } from '../changes/change.ts';
import type { LedgerTransaction } from '../changes/ledger.ts';
import type { IsFresh, RecordedRow } from '../delivery/recorder.ts';
import { isVisible, type Snapshot } from '../stream/visibility.ts';
import { currentText, previousText, type RelationPlan } from '../watchers/plan.ts';
import type { ChunkEnd, ReadRow } from './chunk.ts';
import { ChunkRow, type RowsOwner } from './chunk-row.ts';
import { CurrentChunk } from './current-chunk.ts';
import { freshRows, partlyHandled } from './handled-rows.ts';
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
export class TableReading implements RowsOwner {
  readonly #host: TableReadingHost;
  readonly #scope: string;
  readonly #columns: KeyColumns;
  readonly keyChanges: KeyChanges;
  #end: KeyTexts | undefined;
  #chunk: CurrentChunk;
  /** What its rows are made with. */
  #made: { readonly transaction: LedgerTransaction; readonly plan: RelationPlan } | undefined;
  /** Handled before their turn, by id: in the current chunk, or beyond it by a process that has ended. */
  readonly #ahead: Map<string, KeyTexts>;
  /** Handled by some of the watchers, by id. */
  readonly #partly: Map<string, Partly>;
  handled: number;
  #exhausted = false;
  /** The range is read to its end, and no row that changed its key is left. */
  done = false;
  #follows: boolean;
  /** The last key change that was noted. */
  #moved: Moved;
  readonly #movedBefore: Moved;

  /** `scope`: what the event ids of its rows begin with. `keyNames`: the key's columns in the database, in the order of the index. */
  constructor(host: TableReadingHost, scope: string, keyNames: readonly string[], state: State) {
    this.#host = host;
    this.#scope = scope;
    this.#columns = new KeyColumns(keyNames, host.watchers);
    this.#end = state.end;
    this.#chunk = new CurrentChunk(state.cursor);
    this.#ahead = new Map(state.ahead.map((key) => [idOf(key), key]));
    this.#partly = new Map(state.partly.map((one) => [idOf(one.key), one]));
    this.handled = state.rows;
    this.done = state.done;
    this.#follows = state.end !== undefined;
    this.#moved = this.#movedBefore = state.moved;
    this.keyChanges = new KeyChanges(host.ledger, state.reread);
  }

  get active(): boolean {
    return this.#host.active;
  }

  /** Where the next chunk begins. */
  get start(): KeyTexts | undefined {
    return this.#chunk.start;
  }

  /** Rows that are given and not handled. */
  get given(): number {
    return this.#chunk.given;
  }

  /** More rows of the chunk come. */
  get arrives(): boolean {
    return this.#chunk.arrives;
  }

  /** Nothing of the chunk is left. */
  get chunkDone(): boolean {
    const { arrives, pending, given } = this.#chunk;
    return !arrives && pending === 0 && given === 0;
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
      cursor: this.#chunk.cursorAt(this.#chunk.prefix),
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
      const row = this.#chunk.at((change as ExistingChange).key);
      if (row?.change === change) now.set(row, [...(now.get(row) ?? []), watcher!]);
    }
    const isHandled = (row: ChunkRow | undefined) =>
      row !== undefined && (row.stage === 'handled' || now.get(row)?.length === row.open);
    const { rows } = this.#chunk;
    let { prefix } = this.#chunk;
    while (isHandled(rows[prefix])) prefix++;
    const whole = [...now.keys()].filter(isHandled);
    const ahead = new Map(this.#ahead);
    for (const { id, key, replaced } of whole) if (!replaced) ahead.set(id, key);
    for (const { id, reread } of rows.slice(this.#chunk.prefix, prefix)) if (!reread) ahead.delete(id);
    const partly = new Map(this.#partlyHandled().map((one) => [idOf(one.key), one]));
    for (const [row, by] of now)
      if (isHandled(row)) partly.delete(row.id);
      else partly.set(row.id, { key: row.key, by: [...row.by, ...by] });
    const state = this.state(run);
    return {
      ...state,
      cursor: this.#chunk.cursorAt(prefix),
      ahead: [...ahead.values()],
      partly: [...partly.values()],
      rows: state.rows + whole.length,
    };
  }

  /** Which rows a stored state does not count as handled. */
  freshOf(stored: Pick<State, 'cursor' | 'ahead' | 'partly'>): IsFresh {
    const { rows } = this.#chunk;
    return freshRows(rows, this.#chunk.cursorAt(rows.length), stored);
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

  /**
   * A chunk begins. `add()` its rows, then `complete()` it before any change of the table passes that its snapshot does not see. From then
   * on call `before()` for each change. Its rows may be given while others still come.
   */
  begin(snapshot: Snapshot, plan: RelationPlan, readAt: number): void {
    this.#made = { transaction: chunkTransaction(readAt), plan };
    this.#chunk = new CurrentChunk(this.#chunk.start, snapshot);
    this.#exhausted = false;
  }

  add({ key, row, reread }: ReadRow): void {
    const chunk = this.#chunk;
    if (!chunk.arrives) return; // it was discarded
    const id = idOf(key);
    if (this.#ahead.size > 0 && this.#ahead.has(id)) {
      chunk.passed.push(id);
      return;
    }
    const { transaction, plan } = this.#made!;
    const change = new ExistingChange(transaction, plan, row, key, this.#scope, this.#host.recorder);
    chunk.add(new ChunkRow(key, change, reread, this.#partly.get(id)?.by ?? none, this));
    if (chunk.pending === 1) this.#host.wake();
  }

  complete({ last, exhausted }: Pick<ChunkEnd, 'last' | 'exhausted'>): void {
    if (!this.#chunk.arrives) return;
    this.#chunk.complete(last);
    this.#exhausted = exhausted;
    this.#host.wake();
  }

  /** The first row that waits. It may only be given when everything that the snapshot sees has passed. */
  next(): ChunkRow | undefined {
    return this.#chunk.next();
  }

  give(row: ChunkRow): void {
    row.stage = 'given';
    this.#chunk.pending--;
    this.#chunk.given++;
    this.#host.give(row);
  }

  /** A row that was given is handled. */
  settled(row: ChunkRow): void {
    const chunk = this.#chunk;
    const { rows } = chunk;
    row.stage = 'handled';
    chunk.given--;
    if (row.isWanted) this.handled++;
    this.#partly.delete(row.id);
    if (row === rows[chunk.prefix] && !row.reread) chunk.prefix++;
    else if (!row.replaced) this.#ahead.set(row.id, row.key);
    for (let next = rows[chunk.prefix]; next?.stage === 'handled'; next = rows[++chunk.prefix])
      if (!next.reread) this.#ahead.delete(next.id);
    this.#host.wake();
  }

  /** Before a change of the table is routed. */
  before(change: CapturedChange): void {
    const { snapshot, pending } = this.#chunk;
    const unseen = snapshot === undefined || !isVisible(change.transaction.xid, snapshot);
    const { row, old, type, plan } = change;
    if (type === 'truncated') {
      if (unseen) this.#giveAll();
      return;
    }
    const columns = this.#columns.of(plan);
    if (columns === undefined) return; // of no watcher of this subscription
    const now = columns.text((column) => currentText(column, row, old));
    const before = type === 'updated' ? columns.text((column) => previousText(column, row, old)) : now;
    if (unseen && pending > 0) {
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
    const { arrives, pending } = this.#chunk;
    if (arrives || pending > 0) {
      this.keyChanges.giveUp();
      this.#exhausted = false;
    }
    this.#chunk.discard();
    this.#host.wake();
  }

  /** All rows of the chunk are handled, or it was discarded: the next one may be read. */
  finish(): void {
    const { rows, passed, prefix, isHandled } = this.#chunk;
    if (isHandled) {
      for (const { id } of rows) this.#ahead.delete(id);
      for (const id of passed) this.#ahead.delete(id);
      this.keyChanges.handled();
    }
    this.#chunk = new CurrentChunk(this.#chunk.cursorAt(prefix));
    const { all, tooMany } = this.keyChanges;
    this.done ||= isHandled && this.#exhausted && !tooMany && all.length === 0;
  }

  /** Rule 6: the row may have moved from where reading will come to where it has been. */
  #keyChanged(change: CapturedChange, from: KeyTexts, to: KeyTexts, unseen: boolean): void {
    if (this.done || !this.#follows) return;
    const { transaction, ordinal } = change;
    const [lsn, place] = this.#movedBefore;
    // It is in the list that was stored.
    if (transaction.finalLsn < lsn || (transaction.finalLsn === lsn && ordinal <= place)) return;
    const there = this.#chunk.at(to);
    if (!this.keyChanges.tooMany) this.#moved = [transaction.finalLsn, ordinal];
    if (!unseen && there) return; // the chunk has it at its new key
    this.#ahead.delete(idOf(to));
    this.#partly.delete(idOf(to));
    if (there) there.replaced = true;
    // What the snapshot sees was not at its old key when the chunk was read.
    const { snapshot, last, start: before } = this.#chunk;
    const row = unseen ? this.#chunk.at(from) : undefined;
    // A crash before it is handled must leave it unread.
    const given = row?.stage === 'given' && !row.replaced && !this.#host.deferrable();
    const start = unseen && snapshot !== undefined && !given ? last : before;
    this.keyChanges.add(change, { from, to, start }, { seen: !unseen, given });
  }

  #partlyHandled(): readonly Partly[] {
    return this.#host.watchers.size === 1 ? [] : partlyHandled(this.#partly, this.#chunk.rows);
  }

  #giveAll(): void {
    for (let row = this.next(); row; row = this.next()) this.give(row);
  }

  #pull(key: KeyTexts): void {
    const row = this.#chunk.at(key);
    if (row?.stage === 'pending') this.give(row);
  }
}
