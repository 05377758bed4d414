/** A copy of a table, kept by a subscription with existing rows to all of its changes. */
import { type Change, defineWatchers, type WatchError } from '../../src/index.ts';
import type { Database } from './database.ts';
import { deferred } from './until.ts';
import { slotName, watchOn } from './watching.ts';

interface CopyOptions {
  /** Milliseconds of each handler. */
  readonly pause?: number;
  readonly existing?: object;
  /** Default: version. */
  readonly columns?: readonly string[];
  readonly watchOptions?: object;
  /** Of the subscription. */
  readonly options?: object;
  readonly slot?: string;
  /** Runs before a row or change is applied; `count`: so many were handled, this one too. */
  readonly during?: (change: Change<any>, count: number) => unknown;
}

/** For `during`: the handler waits at the row or change with this number. */
export function stopAt(number: number) {
  const [reached, over] = [deferred(), deferred()];
  const during = (_: Change<any>, count: number) => {
    if (count !== number) return undefined;
    reached.resolve();
    return over.promise;
  };
  return { during, reached: reached.promise, goOn: over.resolve };
}

/** Makes a table with columns id and version and this number of rows, a watch, and a copy that its changes are applied to. */
export function copyOn(db: Pick<Database, 'url' | 'sql' | 'dropSlot'>) {
  const watchOf = watchOn(db);
  return async (table: string, rows: number, options: CopyOptions = {}) => {
    const { pause = 0, existing = {}, watchOptions = {}, slot = slotName(), columns = ['version'], during } = options;
    await db.sql(`create table if not exists ${table} (id int primary key, version int not null default 0);
                  alter table ${table} replica identity full;
                  insert into ${table} (id) select n from generate_series(1, ${rows}) n on conflict do nothing`);
    const watchers = defineWatchers([
      [table, ['inserted', 'updated', 'deleted'], { extraColumns: columns }],
      [table, 'truncated'],
    ] as never);
    const watch: any = watchOf(watchers as never, { slot, stopTimeout: 1000, ...watchOptions } as never);
    const copy = new Map<number, number>();
    const existingRows: string[] = [];
    const live: number[] = [];
    const wrong: string[] = [];
    const apply = ({ type, event, context }: Change<any>) => {
      const { id, version } = event as { id: number; version: number };
      if (context.existing) existingRows.push(context.eventId);
      else live.push(id);
      if (type === 'truncated') return copy.clear();
      if (type === 'deleted') return void copy.delete(id);
      const before = type === 'updated' ? (context.previous as any).id : id;
      const known = copy.get(before);
      // A row equals what the changes before it made, and the next update is one version later.
      if (known !== undefined && version !== (context.existing ? known : known + 1))
        wrong.push(`${id}: ${known} to ${version} by ${context.eventId}`);
      copy.delete(before);
      copy.set(id, version);
    };
    const warnings: WatchError[] = [];
    watch.on('warning', (warning: WatchError) => warnings.push(warning));
    const names = ['inserted', 'updated', 'deleted', 'truncated'].map((type) => `${table}:${type}`);
    let count = 0;
    const slow = async (change: Change<any>) => {
      await during?.(change, ++count);
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      apply(change);
    };
    const handler = pause === 0 && !during ? (change: Change<any>) => apply(change) : slow;
    const subscribe = () =>
      watch.subscribe(names, handler, {
        name: 'copy',
        existing: { version: 'v1', chunk: 50, ...existing },
        ...options.options,
      });
    return {
      watch, copy, wrong, live, existingRows, warnings, slot, subscribe,
      told: () => warnings.filter(({ code }) => code === 'EXISTING_ROWS').map(({ message }) => message),
      table: async () => new Map((await db.sql<any>(`select id, version from ${table}`)).map(({ id, version }) => [id, version])),
    }; // prettier-ignore
  };
}

export const sorted = (map: ReadonlyMap<number, number>) => [...map].toSorted(([a], [b]) => a - b);
