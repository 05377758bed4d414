import { type Event, makeEvent, makePrevious, recordKey } from '../watchers/event.ts';
import type { TupleValue } from '../postgres/pgoutput/messages.ts';
import { currentText, type PlannedColumn, type PlannedWatcher, previousText } from '../watchers/plan.ts';
import type { UpdateType } from '../types/watchers.ts';
import type { CapturedChange } from '../changes/change.ts';
import { HandlerContext } from './context.ts';
import type { Deliverable, NamedRow } from './deliverable.ts';
import { annotationsText, type Letter } from './letter.ts';
import { rowOf } from './row-sql.ts';
import type { EventContext } from '../types/delivery.ts';

const nothing: Event = Object.freeze({});
const none: readonly string[] = Object.freeze([]);

/** A change as one watcher sees it. All its subscriptions share it. */
export class Occurrence implements Deliverable {
  readonly planned: PlannedWatcher;
  readonly change: CapturedChange;
  readonly event: Event;
  readonly absent: readonly string[];
  #previous: Event | undefined;
  #shared: EventHandlerContext | undefined;

  constructor(planned: PlannedWatcher, change: CapturedChange) {
    this.planned = planned;
    this.change = change;
    const { layout } = planned;
    const there = layout === undefined ? undefined : change.events?.[layout];
    if (there !== undefined) {
      this.event = there;
      this.absent = none;
      return;
    }
    const { event, absent } = makeEvent(planned, change.row, change.old, change);
    this.event = event;
    this.absent = absent;
    // Watchers with absent values need their own event: each reports them with its own names.
    if (layout !== undefined && absent.length === 0) (change.events ??= [])[layout] = event;
  }

  get watcher(): string {
    return this.planned.bound.watcher.name;
  }

  get previous(): Event {
    const { planned, change } = this;
    if (change.type !== 'updated') return nothing;
    return (this.#previous ??= makePrevious(planned, change.row, change.old));
  }

  context(attempt: number, whole?: HandlerContext): EventHandlerContext {
    return new EventHandlerContext(this, attempt, whole);
  }

  get shared(): EventHandlerContext {
    return (this.#shared ??= new EventHandlerContext(this, 1, undefined));
  }

  get row(): NamedRow | undefined {
    return rowOf(this.planned, this.change);
  }

  letter(): Letter {
    const { planned, change, absent } = this;
    const { row, old, transaction, type, ordinal } = change;
    const { watcher, table } = planned.bound;
    const texts = (of: (column: PlannedColumn) => TupleValue) =>
      Object.fromEntries(planned.columns.map((column) => [column.name, of(column)])) as Record<string, string | null>;
    const previous = type === 'updated' ? texts((column) => previousText(column, row, old)) : {};
    return {
      watcher: watcher.name,
      event: texts((column) => currentText(column, row, old)),
      context: {
        commitLsn: transaction.commitLsn,
        xid: transaction.xid,
        committedAt: transaction.committedAt.toISOString(),
        ...annotationsText(change),
        change: {
          type,
          schema: table.schema,
          table: table.name,
          ordinal,
          previous,
          absent,
          ...(change.existing && { existing: true }),
        },
      },
    };
  }

  /** The known records it concerns: two if the primary key changed, otherwise one. */
  get records(): readonly string[] {
    const { now, before } = this.#keys;
    const known = now === before ? [now] : [now, before];
    return known.filter((key) => key !== undefined);
  }

  /** It may concern an unknown record: a truncate, or the replica identity does not contain the key. */
  get barrier(): boolean {
    const { now, before } = this.#keys;
    return now === undefined || before === undefined;
  }

  replaces(older: Deliverable): boolean {
    if (!(older instanceof Occurrence)) return true;
    if (older.change === this.change) return false; // another watcher's view of the same change
    if (this.change.type === 'deleted') return true;
    return older.planned.columns.every(
      ({ name }) => older.absent.includes(name) || (Object.hasOwn(this.event, name) && !this.absent.includes(name)),
    );
  }

  get #keys(): { readonly now: string | undefined; readonly before: string | undefined } {
    const { planned, change } = this;
    const { row, old, type } = change;
    if (type === 'truncated') return { now: undefined, before: undefined };
    const { schema, name } = planned.bound.table;
    // A row stream has records of several tables.
    const record = (key: string | undefined) =>
      key === undefined ? undefined : `${schema.length}:${schema}${name.length}:${name}${key}`;
    const now = record(recordKey(planned.primaryKey, currentText, row, old));
    return { now, before: type === 'updated' ? record(recordKey(planned.primaryKey, previousText, row, old)) : now };
  }
}

/** The context of a handler of row changes. */
export class EventHandlerContext extends HandlerContext implements EventContext {
  readonly watcher: string;
  readonly type: UpdateType;
  readonly schema: string;
  readonly table: string;
  readonly ordinal: number;
  readonly absent: readonly string[];
  readonly existing: boolean;
  readonly #occurrence: Occurrence;

  constructor(occurrence: Occurrence, attempt: number, whole: HandlerContext | undefined) {
    const { change, planned } = occurrence;
    super(change, attempt, whole);
    this.watcher = planned.bound.watcher.name;
    this.type = change.type;
    this.schema = planned.bound.table.schema;
    this.table = planned.bound.table.name;
    this.ordinal = change.ordinal;
    this.absent = occurrence.absent;
    this.existing = change.existing;
    this.#occurrence = occurrence;
  }

  get previous(): Readonly<Record<string, unknown>> {
    return this.#occurrence.previous;
  }

  /** The occurrence of an internal handler's context. Not a getter, because users can see the properties of contexts. */
  static occurrence(context: EventHandlerContext): Occurrence {
    return context.#occurrence;
  }
}
