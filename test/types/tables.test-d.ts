import type { Generated } from 'kysely';
import { describe, expectTypeOf, test } from 'vitest';
import {
  defineWatchers,
  type EventOf,
  type FilterOf,
  table,
  type TableDefinition,
  type WatcherName,
} from '../../src/index.ts';

interface Line {
  order_id: Generated<number>;
  line: number;
  qty: number;
  note: string | null;
}

const lines = table<Line>()({
  tableName: 'Order Lines',
  schema: 'erp',
  primaryKey: ['order_id', 'line'],
  columnMap: { qty: 'QTY' },
});
const notes = table<{ key: string; body: string }>()({ tableName: 'notes', primaryKey: 'key' });
const watchers = defineWatchers([
  [lines, 'updated', { extraColumns: ['qty', 'note'] }],
  [lines, 'updated', { label: 'qty_changed', triggerColumns: ['qty'] }],
  [notes, 'deleted'],
  [notes, 'updated', { extraColumns: ['body'], absent: 'omit' }],
]);
type W = typeof watchers;

test('table() keeps name, schema, key and row as types', () => {
  expectTypeOf(lines).toEqualTypeOf<TableDefinition<'Order Lines', 'erp', 'order_id' | 'line', Line>>();
  expectTypeOf(notes).toEqualTypeOf<TableDefinition<'notes', 'public', 'key', { key: string; body: string }>>();
});

test('its watchers have the name in the database, with the schema outside public', () => {
  expectTypeOf<WatcherName<W>>().toEqualTypeOf<
    'erp.Order Lines:updated' | 'qty_changed' | 'notes:deleted' | 'notes:updated'
  >();
});

test("the schema 'public' is left out, even if it is given", () => {
  const named = defineWatchers([
    [table<Line>()({ tableName: 'lines', schema: 'public', primaryKey: 'line' }), 'deleted'],
  ]);
  expectTypeOf<WatcherName<typeof named>>().toEqualTypeOf<'lines:deleted'>();
});

test('a table with a schema can be declared inside the list', () => {
  const made = defineWatchers([
    [
      table<Line>()({ tableName: 'lines', schema: 'erp', primaryKey: ['order_id', 'line'] }),
      'updated',
      { extraColumns: ['qty'] },
    ],
  ]);
  expectTypeOf<WatcherName<typeof made>>().toEqualTypeOf<'erp.lines:updated'>();
  expectTypeOf<EventOf<typeof made, 'erp.lines:updated'>>().toEqualTypeOf<{
    readonly order_id: number;
    readonly line: number;
    readonly qty: number;
  }>();
});

test('a table without a schema is in public, even if it is declared inside the list', () => {
  const made = defineWatchers([[table<Line>()({ tableName: 'lines', primaryKey: 'line' }), 'deleted']]);
  expectTypeOf<WatcherName<typeof made>>().toEqualTypeOf<'lines:deleted'>();
});

test('an event has the whole composite key and the extra columns, with their names in code', () => {
  expectTypeOf<EventOf<W, 'erp.Order Lines:updated'>>().toEqualTypeOf<{
    readonly order_id: number;
    readonly line: number;
    readonly qty: number;
    readonly note: string | null;
  }>();
  expectTypeOf<EventOf<W, 'qty_changed'>>().toEqualTypeOf<{ readonly order_id: number; readonly line: number }>();
});

test('a key of one column can have any name', () => {
  expectTypeOf<EventOf<W, 'notes:deleted'>>().toEqualTypeOf<{ readonly key: string }>();
  expectTypeOf<EventOf<W, 'notes:updated'>>().toEqualTypeOf<{ readonly key: string; readonly body?: string }>();
  expectTypeOf<FilterOf<W, 'notes:deleted'>>().toEqualTypeOf<
    string | number | bigint | { readonly key?: string | number | bigint }
  >();
});

test('a filter for a composite key names columns, including extra columns', () => {
  expectTypeOf<FilterOf<W, 'qty_changed'>>().toEqualTypeOf<{ readonly order_id?: number; readonly line?: number }>();
  expectTypeOf<FilterOf<W, 'erp.Order Lines:updated'>>().toEqualTypeOf<{
    readonly order_id?: number;
    readonly line?: number;
    readonly qty?: number;
    readonly note?: string | number | bigint | null;
  }>();
});

test('without a row type, any key can be named, and values are unknown', () => {
  const untyped = table()({ tableName: 'legacy', primaryKey: ['a', 'b'] });
  const watched = defineWatchers([[untyped, 'updated', { extraColumns: ['c'] }]]);
  expectTypeOf<EventOf<typeof watched, 'legacy:updated'>>().toEqualTypeOf<{
    readonly a: unknown;
    readonly b: unknown;
    readonly c: unknown;
  }>();
});

describe('table() refuses', () => {
  test('a key that the row does not have', () => {
    // @ts-expect-error order_id
    table<Line>()({ tableName: 'lines', primaryKey: 'orderId' });
    // @ts-expect-error order_id
    table<Line>()({ tableName: 'lines', primaryKey: ['orderId', 'line'] });
  });

  test('a mapped column that the row does not have', () => {
    // @ts-expect-error qty
    table<Line>()({ tableName: 'lines', primaryKey: 'line', columnMap: { quantity: 'QTY' } });
  });

  test('a table without name or key', () => {
    // @ts-expect-error tableName
    table<Line>()({ primaryKey: 'line' });
    // @ts-expect-error primaryKey
    table<Line>()({ tableName: 'lines' });
  });

  test('a misspelt option', () => {
    // @ts-expect-error columnMap
    table<Line>()({ tableName: 'lines', primaryKey: 'line', columnsMap: { qty: 'QTY' } });
  });
});

test('the database name of a mapped column, and an unknown column, are refused as extra columns', () => {
  // @ts-expect-error qty
  defineWatchers([[lines, 'updated', { extraColumns: ['QTY'] }]]);
  // @ts-expect-error unknown column
  defineWatchers([[lines, 'updated', { label: 'a', triggerColumns: ['price'] }]]);
});
