import type { TypeCatalog } from '../postgres/types.ts';
import { CapturedChange } from '../changes/change.ts';
import { LedgerTransaction } from '../changes/ledger.ts';
import { ConfigurationError, WatchError } from '../errors.ts';
import type { Tuple } from '../postgres/pgoutput/messages.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { type BoundWatcher, codeName, databaseName, withNames } from '../watchers/bind.ts';
import { parsedBytes, parsedColumns } from '../watchers/parsed.ts';
import { columnParser, type PlannedColumn, type PlannedWatcher, type RelationPlan } from '../watchers/plan.ts';
import { relationOf, tableOf } from '../watchers/unread-table.ts';
import type { Watcher } from '../watchers/validate.ts';
import type { EventMessage } from './message.ts';

/** A watcher as its messages describe it. */
interface Known {
  readonly plan: RelationPlan;
  /** Names in the database, in the order of the tuples. */
  readonly columns: readonly { readonly name: string; readonly typeOid: number }[];
}

/** Turns messages back into the changes that the worker wrote them from, so that the stages after this one are the same as in the worker. */
export class Arrivals {
  readonly #watchers: ReadonlyMap<string, Watcher>;
  readonly #types: TypeCatalog;
  readonly #described: (bound: BoundWatcher) => void;
  readonly #warn: (warnings: Iterable<WatchError>) => void;
  readonly #known = new Map<string, Known>();
  #transaction: LedgerTransaction | undefined;

  /** `described` is called when a message describes a watcher's table for the first time, or differently. */
  constructor(
    watchers: readonly Watcher[],
    types: TypeCatalog,
    described: (bound: BoundWatcher) => void,
    warn: (warnings: Iterable<WatchError>) => void,
  ) {
    this.#watchers = new Map(watchers.map((watcher) => [watcher.name, watcher]));
    this.#types = types;
    this.#described = described;
    this.#warn = warn;
  }

  /** Returns undefined for a watcher that this process does not have. @throws ConfigurationError when the worker uses its name for another watcher */
  change(message: EventMessage, bytes: number): CapturedChange | undefined {
    const watcher = this.#watchers.get(message.watcher);
    if (!watcher) return undefined;
    const { plan, columns } = this.#knownOf(watcher, message);
    const { event, previous = {} } = message;
    const row = columns.map(({ name }) => textOf(event, name));
    const before = columns.map(({ name }) => textOf(previous, name));
    const old = before.some((text) => text !== undefined) ? before : undefined;
    const kept = bytes + parsedBytes(plan.parsed, row, old);
    const transaction = this.#transactionOf(message);
    if (message.existing) return new RelayedRow(transaction, plan, row, kept, message.eventId);
    const { ordinal, type, annotations } = message;
    return new CapturedChange(transaction, ordinal, type, plan, row, old, kept, annotations);
  }

  #transactionOf({ commitLsn, xid, committedAt }: EventMessage): LedgerTransaction {
    const last = this.#transaction;
    const at = Date.parse(committedAt);
    // Existing rows all have the position 0/0 and no transaction.
    if (last?.commitLsn === commitLsn && last.xid === xid && (xid !== 0 || last.committedAt.getTime() === at))
      return last;
    const begin = { xid, finalLsn: parseLsn(commitLsn), committedAt: at };
    return (this.#transaction = new LedgerTransaction(begin));
  }

  #knownOf(watcher: Watcher, message: EventMessage): Known {
    const known = this.#known.get(watcher.name);
    if (known?.columns.every(({ name, typeOid }) => (textOf(message.types, name) ?? 0) === typeOid)) return known;
    const made = this.#learn(watcher, message);
    this.#known.set(watcher.name, made);
    return made;
  }

  #learn(given: Watcher, message: EventMessage): Known {
    const bound = bind(given, message);
    const { watcher } = bound;
    const names = [...new Set([...bound.primaryKey, ...watcher.extraColumns])];
    const columns = names.map((name) => {
      const column = databaseName(watcher.table, name);
      return { code: name, name: column, typeOid: textOf(message.types, column) ?? 0 };
    });
    const planned = columns.map(
      ({ code, typeOid }, slot): PlannedColumn => ({
        name: code, slot, key: false, typeOid, parse: columnParser(bound, code, typeOid, this.#types),
      }), // prettier-ignore
    );
    const primaryKey = bound.primaryKey.map((name) => planned.find((column) => column.name === name)!);
    // The worker has already applied trigger columns and conditions.
    const one: PlannedWatcher = {
      bound, primaryKey, columns: watcher.type === 'truncated' ? [] : planned, triggers: [],
    }; // prettier-ignore
    const missing = watcher.type === 'truncated' ? [] : columns.filter(({ typeOid }) => typeOid === 0);
    this.#warn(missing.map(({ code }) => notRelayed(watcher, code)));
    this.#described(bound);
    const watchers = { inserted: [], updated: [], deleted: [], truncated: [], [watcher.type]: [one] };
    const parsed = parsedColumns(planned, this.#types);
    return { plan: { relation: relationOf(message), wanted: [], watchers, parsed }, columns };
  }
}

/** An existing row that a worker relayed. */
class RelayedRow extends CapturedChange {
  readonly #id: string;

  constructor(transaction: LedgerTransaction, plan: RelationPlan, row: Tuple, bytes: number, id: string) {
    super(transaction, 0, 'inserted', plan, row, undefined, bytes);
    this.#id = id;
  }

  override get existing(): boolean {
    return true;
  }

  override get eventId(): string {
    return this.#id;
  }
}

/** Binds a watcher to its table as a message describes it. */
function bind(given: Watcher, message: EventMessage): BoundWatcher {
  const watcher = withNames(given, (name) => Object.hasOwn(message.types, name) || message.primaryKey.includes(name));
  const { table } = watcher;
  const key = table.primaryKey?.map((column) => databaseName(table, column));
  const same =
    message.type === watcher.type && message.schema === table.schema && message.table === table.name &&
    (key === undefined || key.toSorted().join('\0') === message.primaryKey.toSorted().join('\0')); // prettier-ignore
  if (!same) {
    throw new ConfigurationError([
      {
        message: `${watcher.name}: the worker has another watcher with this name: '${message.type}' of ${message.schema}.${message.table}, primary key ${message.primaryKey.join(', ')}`,
        solution: 'Give createWatch() and createRemoteWatch() the same watchers.',
        watcher: watcher.name,
      },
    ]);
  }
  const primaryKey = table.primaryKey ?? message.primaryKey.map((column) => codeName(table, column));
  return { watcher, table: tableOf(message), primaryKey };
}

/** Reads a column of a parsed JSON object. A column may have any name, `__proto__` too. */
function textOf<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function notRelayed(watcher: Watcher, column: string): WatchError {
  return new WatchError(
    'VALUE_ABSENT',
    `${watcher.name}: the worker does not send '${column}'; reading it throws VALUE_ABSENT`,
    {
      solution:
        "Give the worker's watcher the same extraColumns. Deploy the worker before the processes that read from it.",
    },
  );
}
