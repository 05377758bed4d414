import type { Tuple, TupleValue } from '../postgres/pgoutput/messages.ts';
import { currentText, type PlannedColumn, type PlannedWatcher, previousText } from '../watchers/plan.ts';
import { type CanonicalForm, canonicalForm } from './canonical.ts';
import { joinKey, keyOf, type Scalar, scalarText } from './keys.ts';
import type { ActiveSubscription } from './subscription.ts';

export type Key = string | number | null;
type Text = string | null;

const nobody: readonly ActiveSubscription[] = Object.freeze([]);

/** The subscriptions of one watcher that filter by the same columns: found by one look-up, however many there are. */
export class Shape {
  /** By names in code, ascending; none: the primary key, which has one column then. */
  readonly columns: readonly string[];
  #planned: PlannedWatcher | undefined;
  #plannedColumns: readonly PlannedColumn[] = [];
  #subscriptions = new Map<Key, ActiveSubscription | readonly ActiveSubscription[]>();
  #canonical: readonly (CanonicalForm | undefined)[] = [];

  constructor(columns: readonly string[]) {
    this.columns = columns;
  }

  get empty(): boolean {
    return this.#subscriptions.size === 0;
  }

  /** Called when the types of the columns are known. */
  bind(typeOids: readonly number[]): void {
    const canonical = typeOids.map(canonicalForm);
    if (canonical.every((form, index) => form === this.#canonical[index])) return;
    const subscriptions = [...this.all()];
    this.#canonical = canonical;
    this.#subscriptions = new Map();
    for (const subscription of subscriptions) this.add(subscription);
  }

  add(subscription: ActiveSubscription): void {
    const key = this.#keyOfFilter(subscription);
    const there = this.#subscriptions.get(key);
    if (there === undefined) this.#subscriptions.set(key, subscription);
    else this.#subscriptions.set(key, 'registry' in there ? [there, subscription] : [...there, subscription]);
  }

  /** Copies a list rather than change it, because it may just be delivered to. */
  remove(subscription: ActiveSubscription): void {
    const key = this.#keyOfFilter(subscription);
    const there = this.#subscriptions.get(key);
    if (there === undefined) return;
    const rest = ('registry' in there ? [there] : there).filter((one) => one !== subscription);
    if (rest.length === 0) this.#subscriptions.delete(key);
    else this.#subscriptions.set(key, rest.length === 1 ? rest[0]! : rest);
  }

  /** The subscriptions with this very filter. */
  like(filter: ActiveSubscription['filter']): readonly ActiveSubscription[] {
    return this.find(this.#join(this.#values(filter).map(scalarText)));
  }

  /** Where the columns stand in the tuples of a relation. */
  columnsIn(planned: PlannedWatcher): readonly PlannedColumn[] {
    if (planned !== this.#planned) {
      const { columns } = this;
      this.#plannedColumns =
        columns.length === 0
          ? planned.primaryKey
          : columns.map((name) => planned.columns.find((column) => column.name === name)!);
      this.#planned = planned;
    }
    return this.#plannedColumns;
  }

  /** The key of a row; undefined when one of its values is. */
  key(texts: readonly TupleValue[]): Key | undefined {
    return texts.includes(undefined) ? undefined : this.#join(texts as readonly Text[]);
  }

  /** The key of a row after a change; undefined when one of its values is. */
  currentKey(columns: readonly PlannedColumn[], row: Tuple, old: Tuple | undefined): Key | undefined {
    if (columns.length > 1) return this.key(columns.map((column) => currentText(column, row, old)));
    return this.#only(currentText(columns[0]!, row, old));
  }

  /** The key of a row before an update; undefined when one of its values is. */
  previousKey(columns: readonly PlannedColumn[], row: Tuple, old: Tuple): Key | undefined {
    if (columns.length > 1) return this.key(columns.map((column) => previousText(column, row, old)));
    return this.#only(previousText(columns[0]!, row, old));
  }

  /** What is registered under a key: one, as nearly always, or several. */
  at(key: Key): ActiveSubscription | readonly ActiveSubscription[] | undefined {
    return this.#subscriptions.get(key);
  }

  find(key: Key): readonly ActiveSubscription[] {
    const found = this.#subscriptions.get(key);
    return found === undefined ? nobody : Array.isArray(found) ? found : [found as ActiveSubscription];
  }

  /** Of a change of which a value is not known: all whose other values match, before or after it. */
  possible(columns: readonly PlannedColumn[], row: Tuple, old: Tuple | undefined): readonly ActiveSubscription[] {
    const all = [...this.all()];
    if (columns.length === 1) return all;
    const now = columns.map((column, index) => this.#form(currentText(column, row, old), index));
    const before = old && columns.map((column, index) => this.#form(previousText(column, row, old), index));
    return all.filter(({ filter }) => {
      const wanted = this.#values(filter).map((value, index) => this.#form(scalarText(value), index));
      const fits = (texts: readonly TupleValue[]) =>
        texts.every((text, index) => text === undefined || text === wanted[index]);
      return fits(now) || (before !== undefined && fits(before));
    });
  }

  *all(): Iterable<ActiveSubscription> {
    for (const one of this.#subscriptions.values()) {
      if ('registry' in one) yield one;
      else yield* one;
    }
  }

  #keyOfFilter(subscription: ActiveSubscription): Key {
    return this.#join(this.#values(subscription.filter).map(scalarText));
  }

  #values(filter: ActiveSubscription['filter']): readonly Scalar[] {
    if (typeof filter !== 'object' || filter === null) return [filter ?? null];
    return this.columns.map((column) => filter[column]!);
  }

  #only(text: TupleValue): Key | undefined {
    const form = this.#form(text, 0);
    return form === null || form === undefined ? form : keyOf(form);
  }

  #form(text: TupleValue, index: number): TupleValue {
    const form = this.#canonical[index];
    return form === undefined || text === null || text === undefined ? text : form(text);
  }

  #join(texts: readonly Text[]): Key {
    if (texts.length === 1) return this.#only(texts[0]!)!;
    return joinKey(texts.map((text, index) => this.#form(text, index) as Text));
  }
}
