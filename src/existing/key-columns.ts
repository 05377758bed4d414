import type { TupleValue } from '../postgres/pgoutput/messages.ts';
import { databaseName } from '../watchers/bind.ts';
import type { PlannedColumn, PlannedWatcher, RelationPlan } from '../watchers/plan.ts';
import type { KeyTexts } from './key-order.ts';

/** Reads the key of a change. */
export interface KeyReader {
  /** Undefined: some column of the key is not known. */
  text(of: (column: PlannedColumn) => TupleValue): KeyTexts | undefined;
}

/** Where the changes of a table have its key. */
export class KeyColumns {
  /** In the database, in the order of the index. */
  readonly #names: readonly string[];
  readonly #watchers: ReadonlySet<string>;
  readonly #readers = new WeakMap<RelationPlan, { readonly reader: KeyReader | undefined }>();

  constructor(names: readonly string[], watchers: ReadonlySet<string>) {
    this.#names = names;
    this.#watchers = watchers;
  }

  /** Undefined: none of the watchers gets changes of this plan. */
  of(plan: RelationPlan): KeyReader | undefined {
    let known = this.#readers.get(plan);
    if (!known) {
      const planned = plan.watchers.inserted.find(({ bound }) => this.#watchers.has(bound.watcher.name));
      known = { reader: planned && this.#reader(planned) };
      this.#readers.set(plan, known);
    }
    return known.reader;
  }

  #reader({ primaryKey, bound }: PlannedWatcher): KeyReader {
    const columns = this.#names.map((name) =>
      primaryKey.find((column) => databaseName(bound.watcher.table, column.name) === name),
    );
    return {
      text: (of) => {
        const texts = columns.map((column) => column && of(column));
        return texts.includes(undefined) || texts.includes(null) ? undefined : (texts as KeyTexts);
      },
    };
  }
}
