import type { CapturedChange } from '../changes/change.ts';
import type { Ledger, LedgerTransaction } from '../changes/ledger.ts';
import { isVisible, type Snapshot } from '../stream/visibility.ts';
import { databaseName } from '../watchers/bind.ts';
import { currentText, type PlannedColumn, previousText, type RelationPlan } from '../watchers/plan.ts';
import type { Chunk, ReadPlan } from './chunk.ts';
import { chunkTransaction, ExistingChange } from './existing-row.ts';
import { KeyChanges } from './key-changes.ts';
import type { KeyTexts } from './key-order.ts';
import type { Recorder } from '../delivery/recorder.ts';
import type { State } from './state.ts';

/** A row of the current chunk. */
interface Row {
  readonly id: string;
  readonly key: KeyTexts;
  readonly change: ExistingChange;
  readonly reread: boolean;
  /** `given`: to the handler, or on its way there. */
  stage: 'pending' | 'given' | 'handled';
}

export interface TableReadingHost {
  /** The names of the watchers that the subscription gets this table's changes through. */
  readonly watchers: ReadonlySet<string>;
  readonly ledger: Pick<Ledger, 'hold' | 'settle'>;
  /** With `transaction: true`. */
  readonly recorder: Recorder | undefined;
  /** Hands a row to the subscription. Calls `settled` when it was handled, also if no watcher wants it. */
  give(change: ExistingChange, settled: () => void): void;
  /** A row was handled: more may be given, or the chunk is done. */
  wake(): void;
}

/**
 * The rows of one table on their way to one subscription. Changes keep their order and are never held back: the rows of a chunk
 * move in between them. A row is given before the first change of its record that the chunk's snapshot does not see.
 * Writers of one record wait for each other, so all changes of it that the snapshot sees came before.
 */
export class TableReading {
  readonly #host: TableReadingHost;
  readonly #scope: string;
  readonly keyChanges: KeyChanges;
  #end: KeyTexts | undefined;
  #rows: readonly Row[] = [];
  /** By id, those that are not given yet. */
  readonly #pending = new Map<string, Row>();
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
  /** Rows of the current chunk that were handled before it was read. */
  #passed: string[] = [];
  readonly #keyColumns = new WeakMap<RelationPlan, readonly PlannedColumn[] | undefined>();
  /** In the database, in the order of the index. */
  readonly #keyNames: readonly string[];
  #handled: number;
  #exhausted = false;
  #done = false;
  given = 0;

  /** `scope`: what the event ids of its rows begin with. `keyNames`: the key's columns in the database, in the order of the index. */
  constructor(host: TableReadingHost, scope: string, keyNames: readonly string[], state: State) {
    this.#host = host;
    this.#scope = scope;
    this.#keyNames = keyNames;
    this.#end = state.end;
    this.#start = state.cursor;
    this.#ahead = new Map(state.ahead.map((key) => [idOf(key), key]));
    this.#handled = state.rows;
    this.keyChanges = new KeyChanges(host.ledger, state.reread);
  }

  /** Where the next chunk begins. */
  get start(): KeyTexts | undefined {
    return this.#start;
  }

  get handled(): number {
    return this.#handled;
  }

  /** Rows that wait until they may be given. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Nothing of the chunk is left. */
  get chunkDone(): boolean {
    return this.#pending.size === 0 && this.given === 0;
  }

  /** The range is read to its end, and no row that changed its key is left. */
  get done(): boolean {
    return this.#done;
  }

  /** What is stored now. */
  state(run: number, reread = this.keyChanges.all): State {
    return {
      run,
      done: this.done,
      end: this.#end,
      cursor: this.#cursor,
      ahead: [...this.#ahead.values()],
      reread,
      rows: this.#handled,
    };
  }

  /** Where reading ends; undefined: not known yet. */
  get end(): KeyTexts | undefined {
    return this.#end;
  }

  /** Rows with a key after this one came in after the stream began. */
  endAt(end: KeyTexts): void {
    this.#end = end;
  }

  /** The table has no rows. */
  isEmpty(): void {
    this.#exhausted = true;
    this.keyChanges.clear();
  }

  /** What is stored once these are handled as well. */
  stateAfter(run: number, changes: readonly ExistingChange[]): State {
    const now = new Set(changes.map(({ key }) => idOf(key)));
    const isHandled = (row: Row | undefined) => row !== undefined && (row.stage === 'handled' || now.has(row.id));
    let prefix = this.#prefix;
    while (isHandled(this.#rows[prefix])) prefix++;
    const ahead = new Map(this.#ahead);
    for (const { key } of changes) ahead.set(idOf(key), key);
    for (const { id, reread } of this.#rows.slice(this.#prefix, prefix)) if (!reread) ahead.delete(id);
    const state = this.state(run);
    return { ...state, cursor: this.#cursorAt(prefix), ahead: [...ahead.values()], rows: state.rows + changes.length };
  }

  /** Those of these rows that a stored state does not have as handled. */
  notIn(
    { cursor, ahead }: Pick<State, 'cursor' | 'ahead'>,
    changes: readonly ExistingChange[],
  ): ReadonlySet<ExistingChange> {
    const handled = new Set(ahead.map(idOf));
    const end =
      cursor === undefined ? -1 : this.#rows.findLastIndex(({ key, reread }) => !reread && idOf(key) === idOf(cursor));
    const passed = this.#rows.slice(
      0,
      this.#last !== undefined && cursor !== undefined && idOf(cursor) === idOf(this.#last)
        ? this.#rows.length
        : end + 1,
    );
    for (const { id, reread } of passed) if (!reread) handled.add(id);
    return new Set(changes.filter(({ key }) => !handled.has(idOf(key))));
  }

  /** A chunk was read. Call `next()` from now on, and `before()` for each change. */
  load(chunk: Chunk, { plan }: ReadPlan, readAt: number): void {
    const transaction: LedgerTransaction = chunkTransaction(readAt);
    this.#snapshot = chunk.snapshot;
    this.#prefix = this.#next = 0;
    this.#passed = [];
    const rows: Row[] = [];
    for (const { key, row, reread } of chunk.rows) {
      const id = idOf(key);
      if (this.#ahead.has(id)) this.#passed.push(id);
      if (this.#ahead.has(id) || this.#pending.has(id)) continue;
      const change = new ExistingChange(transaction, plan, row, key, this.#scope, this.#host.recorder);
      const one: Row = { id, key, change, reread, stage: 'pending' };
      rows.push(one);
      this.#pending.set(id, one);
    }
    this.#rows = rows;
    this.#last = chunk.last ?? this.#start;
    this.#exhausted = chunk.exhausted;
  }

  /** The first row that waits. It may only be given when everything that the snapshot sees has passed. */
  next(): Row | undefined {
    const rows = this.#rows;
    while (this.#next < rows.length && rows[this.#next]!.stage !== 'pending') this.#next++;
    return rows[this.#next];
  }

  give(row: Row): void {
    row.stage = 'given';
    this.#pending.delete(row.id);
    this.given++;
    this.#host.give(row.change, () => this.#settled(row));
  }

  /** Before a change of the table is routed. */
  before(change: CapturedChange): void {
    const unseen = this.#snapshot === undefined || !isVisible(change.transaction.xid, this.#snapshot);
    if (change.type === 'truncated') {
      if (unseen) this.#giveAll();
      return;
    }
    const columns = this.#columnsOf(change.plan);
    if (columns === undefined) return; // of no watcher of this subscription
    const { row, old, type } = change;
    const now = keyText(columns, (column) => currentText(column, row, old));
    const before = type === 'updated' ? keyText(columns, (column) => previousText(column, row, old)) : now;
    if (unseen && this.#pending.size > 0) {
      if (now === undefined || before === undefined)
        this.#giveAll(); // it may be about any record
      else {
        this.#pull(before);
        if (idOf(now) !== idOf(before)) this.#pull(now);
      }
    }
    if (this.#done || now === undefined || before === undefined || idOf(now) === idOf(before)) return; // else what is read has moved
    // What the snapshot sees was not at its old key when the chunk was read.
    const start = unseen && this.#snapshot !== undefined ? this.#last : this.#start;
    this.#ahead.delete(idOf(now)); // that was another row
    this.keyChanges.add(change, { from: before, to: now, start });
  }

  /** The chunk is over: its rows that were not given are read again. Those that were given count when they are handled. */
  discard(): void {
    this.keyChanges.giveUp();
    if (this.#pending.size > 0) this.#exhausted = false;
    this.#pending.clear();
    this.#next = this.#rows.length;
    this.#snapshot = undefined;
  }

  /** All rows of the chunk are handled, or it was discarded: the next one may be read. */
  finish(): void {
    this.#start = this.#cursor;
    const whole = this.#prefix === this.#rows.length;
    if (whole) {
      for (const { id } of this.#rows) this.#ahead.delete(id);
      for (const id of this.#passed) this.#ahead.delete(id);
      this.keyChanges.handled();
    }
    this.#rows = [];
    this.#prefix = this.#next = 0;
    this.#last = this.#start;
    this.#snapshot = undefined;
    this.#done = whole && this.#exhausted && this.keyChanges.all.length === 0;
  }

  get #cursor(): KeyTexts | undefined {
    return this.#cursorAt(this.#prefix);
  }

  /** The last key that is read, when so many rows of the chunk are handled. */
  #cursorAt(prefix: number): KeyTexts | undefined {
    if (prefix === this.#rows.length) return this.#last;
    for (let index = prefix - 1; index >= 0; index--) {
      const row = this.#rows[index]!;
      if (!row.reread) return row.key;
    }
    return this.#start;
  }

  #giveAll(): void {
    for (const row of this.#pending.values()) this.give(row);
  }

  #pull(key: KeyTexts): void {
    const row = this.#pending.get(idOf(key));
    if (row) this.give(row);
  }

  #settled(row: Row): void {
    if (row.stage === 'handled') return;
    row.stage = 'handled';
    this.given--;
    this.#handled++;
    this.#ahead.set(row.id, row.key);
    for (let next = this.#rows[this.#prefix]; next?.stage === 'handled'; next = this.#rows[++this.#prefix])
      if (!next.reread) this.#ahead.delete(next.id);
    this.#host.wake();
  }

  #columnsOf(plan: RelationPlan): readonly PlannedColumn[] | undefined {
    if (this.#keyColumns.has(plan)) return this.#keyColumns.get(plan);
    const planned = plan.watchers.inserted.find(({ bound }) => this.#host.watchers.has(bound.watcher.name));
    const columns =
      planned &&
      this.#keyNames.map((name) =>
        planned.primaryKey.find((column) => databaseName(planned.bound.watcher.table, column.name) === name)!,
      );
    this.#keyColumns.set(plan, columns);
    return columns;
  }
}

function idOf(key: KeyTexts): string {
  return key.length === 1 ? key[0]! : JSON.stringify(key);
}

function keyText(columns: readonly PlannedColumn[], textOf: (column: PlannedColumn) => string | null | undefined) {
  const texts = columns.map(textOf);
  return texts.includes(undefined) || texts.includes(null) ? undefined : (texts as KeyTexts);
}
