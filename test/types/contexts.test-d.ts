import { expectTypeOf, test } from 'vitest';
import {
  type Annotations,
  type ContextOf,
  defineWatchers,
  type DeliveryContext,
  type EventContext,
} from '../../src/index.ts';
import type { DB } from './database.ts';

const watchers = defineWatchers<DB>()([
  ['users', 'inserted'],
  ['users', 'updated', { extraColumns: ['email', 'role_id'] }],
  ['users', 'updated', { label: 'omitting', extraColumns: ['email'], absent: 'omit' }],
  ['users', 'truncated'],
  ['billing.invoices', 'deleted', { label: 'voided', extraColumns: ['total'] }],
]);
type W = typeof watchers;

test("a context has the watcher's identifier or label, and its type, as literals", () => {
  expectTypeOf<ContextOf<W, 'users:inserted'>>().toExtend<{ watcher: 'users:inserted'; type: 'inserted' }>();
  expectTypeOf<ContextOf<W, 'voided'>>().toExtend<{ watcher: 'voided'; type: 'deleted' }>();
  expectTypeOf<ContextOf<W, 'users:inserted'>['watcher']>().toEqualTypeOf<'users:inserted'>();
  expectTypeOf<ContextOf<W, 'users:inserted'>['type']>().toEqualTypeOf<'inserted'>();
  expectTypeOf<ContextOf<W, 'voided'>['watcher']>().toEqualTypeOf<'voided'>();
  expectTypeOf<ContextOf<W, 'voided'>['type']>().toEqualTypeOf<'deleted'>();
});

test("previous can have any of the event's columns, but no others", () => {
  expectTypeOf<ContextOf<W, 'users:updated'>['previous']>().toEqualTypeOf<{
    readonly id?: number;
    readonly email?: string;
    readonly role_id?: number | null;
  }>();
  expectTypeOf<ContextOf<W, 'omitting'>['previous']>().toEqualTypeOf<{
    readonly id?: number;
    readonly email?: string;
  }>();
  expectTypeOf<ContextOf<W, 'users:truncated'>['previous']>().toEqualTypeOf<{}>();
});

test("absent lists columns of the event, including those that absent: 'omit' makes optional", () => {
  expectTypeOf<ContextOf<W, 'users:updated'>['absent']>().toEqualTypeOf<readonly ('id' | 'email' | 'role_id')[]>();
  expectTypeOf<ContextOf<W, 'omitting'>['absent']>().toEqualTypeOf<readonly ('id' | 'email')[]>();
  expectTypeOf<ContextOf<W, 'users:truncated'>['absent']>().toEqualTypeOf<readonly never[]>();
});

test("every context has the event's position and the number of the attempt", () => {
  expectTypeOf<ContextOf<W, 'voided'>>().toExtend<DeliveryContext>();
  expectTypeOf<ContextOf<W, 'voided'>>().toExtend<EventContext>();
  expectTypeOf<
    Pick<ContextOf<W, 'voided'>, keyof DeliveryContext | 'schema' | 'table' | 'ordinal'>
  >().branded.toEqualTypeOf<{
    readonly eventId: string;
    readonly commitLsn: string;
    readonly xid: number;
    readonly committedAt: Date;
    readonly annotations: Annotations;
    readonly attempt: number;
    readonly signal: AbortSignal;
    readonly schema: string;
    readonly table: string;
    readonly ordinal: number;
  }>();
});

test('a context has exactly these members', () => {
  expectTypeOf<keyof ContextOf<W, 'voided'>>().toEqualTypeOf<
    | 'watcher' | 'type' | 'schema' | 'table' | 'eventId' | 'commitLsn' | 'ordinal' | 'xid' | 'committedAt' | 'previous'
    | 'absent' | 'existing' | 'annotations' | 'attempt' | 'signal'
  >(); // prettier-ignore
});

test('checking type narrows contexts of different watchers', () => {
  const told = (context: ContextOf<W, 'users:inserted'> | ContextOf<W, 'voided'>) => {
    if (context.type === 'deleted') return context.previous.total;
    return context.watcher;
  };
  expectTypeOf(told).returns.toEqualTypeOf<string | undefined>();
});
