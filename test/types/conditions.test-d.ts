import { expectTypeOf, test } from 'vitest';
import { type Conditions, defineWatchers, table, type Watchers } from '../../src/index.ts';
import type { DB } from './database.ts';

const lines = table<{ order_id: number; line: number; qty: number }>()({
  tableName: 'lines',
  primaryKey: ['order_id', 'line'],
});

test('a condition gets the event and its known old values, by the name of its watcher', () => {
  const watchers = defineWatchers<DB>()(
    [
      ['users', 'updated', { label: 'moved', extraColumns: ['role_id'] }],
      ['users', 'deleted', { extraColumns: ['email'], absent: 'omit' }],
      ['users', 'truncated'],
      [lines, 'inserted', { extraColumns: ['qty'] }],
    ],
    {
      when: {
        moved: (event, previous) => {
          expectTypeOf(event).toEqualTypeOf<{ readonly id: number; readonly role_id: number | null }>();
          expectTypeOf(previous.role_id).toEqualTypeOf<number | null | undefined>();
          return event.role_id !== previous.role_id;
        },
        'users:deleted': (event) => {
          expectTypeOf(event.email).toEqualTypeOf<string | undefined>();
          return true;
        },
        'users:truncated': (event) => {
          expectTypeOf(event).toEqualTypeOf<{}>();
          return true;
        },
        'lines:inserted': ({ order_id, line, qty }) => order_id + line + qty > 0,
      },
    },
  );
  expectTypeOf(watchers).toExtend<Watchers>();
});

test('conditions can be given for some watchers or for none; without a schema type, values are unknown', () => {
  defineWatchers<DB>()([['users', 'updated'], ['users', 'deleted']], { when: { 'users:updated': () => true } }); // prettier-ignore
  defineWatchers<DB>()([['users', 'updated']], {});
  defineWatchers([['anything', 'updated', { extraColumns: ['v'] }]], {
    when: {
      'anything:updated': (event, previous) => {
        expectTypeOf(event['v']).toBeUnknown();
        return event['v'] !== previous['v'];
      },
    },
  });
});

test('conditions that do not fit are refused', () => {
  // @ts-expect-error a condition of an unknown watcher
  defineWatchers<DB>()([['users', 'updated']], { when: { 'users:inserted': () => true } });
  // @ts-expect-error table:type of a watcher that has a label
  defineWatchers<DB>()([['users', 'updated', { label: 'moved' }]], { when: { 'users:updated': () => true } });
  // @ts-expect-error an asynchronous condition
  defineWatchers<DB>()([['users', 'updated']], { when: { 'users:updated': async () => true } });
  // @ts-expect-error not a function
  defineWatchers<DB>()([['users', 'updated']], { when: { 'users:updated': true } });
  // @ts-expect-error a column that the event does not carry
  defineWatchers<DB>()([['users', 'updated']], { when: { 'users:updated': (event) => event.email !== '' } });
  // @ts-expect-error an option that does not exist
  defineWatchers<DB>()([['users', 'updated']], { where: {} });
});

test('Conditions can be declared separately', () => {
  const watchers = defineWatchers<DB>()([['users', 'updated', { extraColumns: ['email'] }]]);
  type Map = NonNullable<(typeof watchers)['$map']>;
  const when: Conditions<Map> = { 'users:updated': ({ email }) => email.length > 0 };
  defineWatchers<DB>()([['users', 'updated', { extraColumns: ['email'] }]], { when });
});
