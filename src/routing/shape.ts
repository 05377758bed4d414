import type { Tuple, TupleValue } from '../postgres/pgoutput/messages.ts';
import { currentText, type PlannedColumn, type PlannedWatcher, previousText } from '../watchers/plan.ts';
import { type CanonicalForm, canonicalForm } from './canonical.ts';
import { fingerprint, type Fingerprints, mixed } from './fingerprints.ts';
import { joinKey, keyOf, type Scalar, scalarText } from './keys.ts';
import { Sieve } from './sieve.ts';
import { SubscriptionList } from './subscription-list.ts';
import type { ActiveSubscription, Handler } from './subscription.ts';

export type Key = string | number | null;
type Text = string | null;

/** The subscriptions of one watcher that filter by the same columns. One look-up finds them, however many there are. */
export class Shape {
  /** Names in code, sorted. Empty: filters by id, so the primary key has one column. */
  readonly columns: readonly string[];
  /** The indexes of the columns' fingerprints. */
  readonly #places: readonly number[];
  #planned: PlannedWatcher | undefined;
  #plannedColumns: readonly PlannedColumn[] = [];
  #subscriptions = new Map<Key, ActiveSubscription | SubscriptionList>();
  #canonical: readonly (CanonicalForm | undefined)[] = [];
  /** With several columns: the combinations of values that a subscription may want. */
  #sieve = new Sieve();

  constructor(columns: readonly string[], prints: Fingerprints) {
    this.columns = columns;
    this.#places = columns.length > 1 ? columns.map((name) => prints.place(name)) : [];
  }

  get empty(): boolean {
    return this.#subscriptions.size === 0;
  }

  /** It filters by several columns, so computing a key has a cost. */
  get combines(): boolean {
    return this.columns.length > 1;
  }

  /** Called when the types of the columns are known. */
  bind(typeOids: readonly number[]): void {
    const canonical = typeOids.map(canonicalForm);
    if (canonical.every((form, index) => form === this.#canonical[index])) return;
    const subscriptions = [...this.all()];
    this.#canonical = canonical;
    this.#subscriptions = new Map();
    this.#sieve = new Sieve(subscriptions.length);
    for (const subscription of subscriptions) this.add(subscription);
  }

  add(subscription: ActiveSubscription): void {
    const key = this.#keyOf(subscription.filter);
    const there = this.#subscriptions.get(key);
    if (there === undefined) this.#subscriptions.set(key, subscription);
    else if (there instanceof SubscriptionList) there.add(subscription);
    else this.#subscriptions.set(key, new SubscriptionList(there, subscription));
    if (this.combines) this.#sift(subscription);
  }

  /** Removes a subscription that has ended. */
  remove(subscription: ActiveSubscription): void {
    const key = this.#keyOf(subscription.filter);
    const there = this.#subscriptions.get(key);
    if (!(there instanceof SubscriptionList)) {
      this.#subscriptions.delete(key);
      return;
    }
    there.remove();
    if (there.count === 1) this.#subscriptions.set(key, there.active[0]!);
  }

  /** The subscriptions with exactly this filter and handler. */
  like(filter: ActiveSubscription['filter'], handler: Handler): readonly ActiveSubscription[] {
    const there = this.#subscriptions.get(this.#keyOf(filter));
    if (there instanceof SubscriptionList) return there.withHandler(handler);
    return there?.userHandler === handler ? [there] : [];
  }

  /** Whether a subscription may want the values with these fingerprints; undefined if one of them is not known. */
  mayWant(prints: Fingerprints['now']): boolean | undefined {
    let print = 0;
    for (let index = 0; index < this.#places.length; index++) {
      const next = prints[this.#places[index]!];
      if (next === undefined) return undefined;
      print = mixed(print, next);
    }
    return this.#sieve.mayHave(print);
  }

  /** The positions of the columns in the tuples of a relation. */
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

  /** The key of a row after a change; undefined if one of its values is not known. */
  currentKey(columns: readonly PlannedColumn[], row: Tuple, old: Tuple | undefined): Key | undefined {
    if (columns.length > 1) return this.key(columns.map((column) => currentText(column, row, old)));
    return this.#only(currentText(columns[0]!, row, old));
  }

  /** The key of a row before an update; undefined if one of its values is not known. */
  previousKey(columns: readonly PlannedColumn[], row: Tuple, old: Tuple): Key | undefined {
    if (columns.length > 1) return this.key(columns.map((column) => previousText(column, row, old)));
    return this.#only(previousText(columns[0]!, row, old));
  }

  /** The key of some values; undefined if one of them is not known. */
  key(texts: readonly TupleValue[]): Key | undefined {
    return texts.includes(undefined) ? undefined : this.#join(texts as readonly Text[]);
  }

  /** The subscriptions with a key: usually one, or a list. */
  at(key: Key): ActiveSubscription | SubscriptionList | undefined {
    return this.#subscriptions.get(key);
  }

  /** Whether a subscription is registered under a key. */
  has({ filter }: ActiveSubscription, key: Key | undefined): boolean {
    return key === this.#keyOf(filter);
  }

  /** For a change with an unknown value: all subscriptions whose other values match, before or after it. */
  possible(columns: readonly PlannedColumn[], row: Tuple, old: Tuple | undefined): readonly ActiveSubscription[] {
    const all = [...this.all()];
    if (columns.length === 1) return all;
    const now = columns.map((column, index) => this.#form(currentText(column, row, old), index));
    const before = old && columns.map((column, index) => this.#form(previousText(column, row, old), index));
    return all.filter(({ filter }) => {
      const wanted = this.#texts(filter).map((text, index) => this.#form(text, index));
      const fits = (texts: readonly TupleValue[]) =>
        texts.every((text, index) => text === undefined || text === wanted[index]);
      return fits(now) || (before !== undefined && fits(before));
    });
  }

  *all(): Iterable<ActiveSubscription> {
    for (const one of this.#subscriptions.values()) {
      if (one instanceof SubscriptionList) yield* one.active;
      else yield one;
    }
  }

  #sift({ filter }: ActiveSubscription): void {
    if (!this.#sieve.full) {
      this.#sieve.add(this.#printOf(filter));
      return;
    }
    // A full sieve also contains ended subscriptions: create a new one from the active ones.
    const all = [...this.all()];
    this.#sieve = new Sieve(all.length);
    for (const one of all) this.#sieve.add(this.#printOf(one.filter));
  }

  #printOf(filter: ActiveSubscription['filter']): number {
    return this.#texts(filter).reduce(
      (print, text, index) => mixed(print, fingerprint(this.#form(text, index) as Text)),
      0,
    );
  }

  #keyOf(filter: ActiveSubscription['filter']): Key {
    return this.#join(this.#texts(filter));
  }

  #texts(filter: ActiveSubscription['filter']): readonly Text[] {
    return this.#values(filter).map(scalarText);
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
