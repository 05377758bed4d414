/**
 * The measure of correctness: events applied to an empty copy of the tables make the copy equal to the original, for any
 * workload. The workloads are random; a failing one is printed with its seed (`WALWATCH_SEED=… npm run test:integration`).
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { defineWatchers, type SlotWatch, type UpdateType } from '../../src/index.ts';
import { type Operation, workload } from '../support/workload.ts';
import { useDatabase } from '../support/database.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

/** Tables of the workload: their keys, and how a value is written. REPLICA IDENTITY FULL, so that TOAST is complete. */
const columns = ['a', 'b', 'big', 'note'];
const schema = `
  create type state as enum ('new', 'done');
  create domain amount as numeric(12, 2) check (value >= 0);
  create table plain (id int primary key, a int, b amount, big text, note state[]);
  create table composite (id int, a int, b jsonb, big text, note timestamptz, primary key (id));
  create table routed (id int primary key, a int, b text, big bytea, note int4range);
  create table parted (id int, a int, b text, big text, note interval, primary key (id)) partition by range (id);
  create table parted_low partition of parted for values from (minvalue) to (5);
  create table parted_high partition of parted for values from (5) to (maxvalue);
  alter table plain replica identity full;
  alter table composite replica identity full;
  alter table routed replica identity full;
  alter table parted replica identity full;
  alter table parted_low replica identity full;
  alter table parted_high replica identity full;
  alter table plain alter big set storage external;
  alter table composite alter big set storage external;`;
const tables = ['plain', 'composite', 'routed', 'parted'] as const;

type Row = Record<string, unknown>;

/** Rows by table and id, built from the events. */
class Replica {
  readonly rows = new Map<string, Map<number, Row>>(tables.map((table) => [table, new Map()]));

  follow(watch: SlotWatch<any>): void {
    const types: UpdateType[] = ['inserted', 'updated', 'deleted', 'truncated'];
    for (const table of tables)
      for (const type of types) watch.subscribe(`${table}:${type}`, this.#apply(table, type) as never);
  }

  #apply(table: string, type: UpdateType) {
    const rows = this.rows.get(table)!;
    return (event: Row & { id: number }, { previous }: { previous: Partial<Row & { id: number }> }) => {
      if (type === 'truncated') rows.clear();
      else if (type === 'deleted') expect(rows.delete(event.id)).toBe(true);
      else {
        if (type === 'updated') {
          expect(rows.get(previous.id!)).toEqual(previous);
          rows.delete(previous.id!);
        }
        expect(rows.has(event.id)).toBe(false);
        rows.set(event.id, { ...event });
      }
    };
  }
}

test('events applied to an empty copy make it equal to the original', { timeout: 120_000 }, async () => {
  await db.sql(schema);
  const entries = tables.flatMap((table) => [
    ...(['inserted', 'updated', 'deleted'] as const).map((type) => [table, type, { extraColumns: columns }] as const),
    [table, 'truncated'] as const,
  ]);
  const watch = watchOf(defineWatchers(entries));
  const failures: unknown[] = [];
  watch.on('handlerFailed', ({ error }) => failures.push(error));
  const replica = new Replica();
  replica.follow(watch);
  await watch.start();
  const client = await db.client();

  const run = async (operation: Operation) => {
    // Half of the statements fail, on duplicates and checks: rolled back, they must leave no trace.
    for (const statement of operation.statements) await client.query(statement).catch(() => client.query('rollback'));
    await client.query('commit');
  };
  const seed = Number(process.env['WALWATCH_SEED'] ?? Date.now() % 2 ** 31);
  await fc.assert(
    fc.asyncProperty(workload([...tables]), async (operations) => {
      for (const operation of operations) await run(operation);
      await settled(db, watch);
      expect(failures).toEqual([]);
      for (const table of tables) {
        const rows = await db.sql(`select id, ${columns.join()} from ${table} order by id`);
        const copy = [...replica.rows.get(table)!.values()].toSorted(
          (one, other) => Number(one['id']) - Number(other['id']),
        );
        expect(copy).toEqual(rows);
      }
    }),
    { numRuns: 40, seed, endOnFailure: true },
  );
});
