import { type BoundWatcher, databaseName } from '../watchers/bind.ts';
import { relationOf, tableOf } from '../watchers/unread-table.ts';
import type { PlannedColumn, PlannedWatcher, RelationPlan } from '../watchers/plan.ts';
import type { Relation, Tuple } from '../postgres/pgoutput/messages.ts';
import type { UpdateType } from '../types/watchers.ts';
import type { Watcher } from '../watchers/validate.ts';
import { valueText } from './value-text.ts';

/** Values by column, with names in code. A column that is left out, or undefined, is not sent. */
export type Values = Readonly<Record<string, unknown>>;

/** A change as the stream would describe it. */
export interface DescribedChange {
  readonly type: UpdateType;
  readonly plan: RelationPlan;
  readonly row: Tuple;
  readonly old: Tuple | undefined;
}

/** The table of a watcher, as far as the watcher describes it. */
export class TestTable {
  readonly bound: BoundWatcher;
  /** The columns that events have. */
  readonly columns: readonly string[];
  /** Those, and trigger columns that events do not have. */
  readonly all: readonly string[];
  readonly #relation: Relation;

  constructor(watcher: Watcher) {
    const { table, extraColumns, triggerColumns } = watcher;
    const primaryKey = table.primaryKey ?? ['id']; // as in the types
    this.columns = watcher.type === 'truncated' ? [] : [...new Set([...primaryKey, ...extraColumns])];
    this.all = [...new Set([...this.columns, ...triggerColumns])];
    const inDatabase = (name: string) => databaseName(table, name);
    const unread = {
      schema: table.schema,
      table: table.name,
      primaryKey: primaryKey.map(inDatabase),
      types: Object.fromEntries(this.all.map((name) => [inDatabase(name), 0])),
    };
    this.bound = { watcher, table: tableOf(unread), primaryKey };
    this.#relation = relationOf(unread);
  }

  /** `previous`: for an update, the old values that are known. */
  describe(event: Values, previous: Values | undefined): DescribedChange {
    const { bound, columns, all } = this;
    const { watcher, primaryKey } = bound;
    /** The parsers of a change return the values that the test gave, and not values made from texts. */
    const given = all.map(() => new Map<string | null, unknown>());
    const tupleOf = (values: Values): Tuple =>
      all.map((name, slot) => {
        const value = valueOf(values, name);
        if (value === undefined) return undefined;
        const text = valueText(value);
        if (!given[slot]!.has(text)) given[slot]!.set(text, value);
        return text;
      });
    const row = watcher.type === 'truncated' ? [] : tupleOf(event);
    // An old row always has the primary key.
    const old = previous && tupleOf({ ...pick(event, primaryKey), ...previous });
    const plan = (name: string): PlannedColumn => {
      const slot = all.indexOf(name);
      return { name, slot, key: primaryKey.includes(name), typeOid: 0, parse: (text) => given[slot]!.get(text) };
    };
    const planned: PlannedWatcher = {
      bound,
      columns: columns.map(plan),
      primaryKey: primaryKey.map(plan),
      triggers: watcher.triggerColumns.map(plan),
    };
    const watchers = { inserted: [], updated: [], deleted: [], truncated: [], [watcher.type]: [planned] };
    return { type: watcher.type, plan: { relation: this.#relation, wanted: [], watchers, parsed: [] }, row, old };
  }
}

/** A column may have any name, `constructor` too. */
export function valueOf(values: Values, name: string): unknown {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}

function pick(values: Values, names: readonly string[]): Values {
  return Object.fromEntries(names.map((name) => [name, valueOf(values, name)]));
}
