import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import type { Session } from '../../../src/postgres/session.ts';
import type { Column, Table } from '../../../src/postgres/tables.ts';
import type { ConfigurationIssue } from '../../../src/errors.ts';
import { bindWatchers } from '../../../src/watchers/bind.ts';
import { Schema } from '../../../src/watchers/schema.ts';
import type { WatcherEntry } from '../../../src/types/watchers.ts';
import { column, oids, relationOf, usersTable, watchersFor } from '../../support/sample-tables.ts';

const users = usersTable();
const letters = { default: 'd', full: 'f', index: 'i', nothing: 'n' };

/** A row of the query that reads tables from the catalog. */
function rowOf(table: Table) {
  const key = { primary: true, identity: false, immediate: true, columns: table.primaryKey };
  return {
    ...table,
    last_number: table.lastNumber,
    identity: letters[table.replicaIdentity],
    columns: table.columns.map((one) => ({
      name: one.name,
      number: one.number,
      type: one.typeOid,
      not_null: one.notNull,
      generated: '',
      toastable: one.toastable,
    })),
    keys: table.primaryKey ? [key] : [],
    leaves: table.leaves.map((leaf) => ({ ...leaf, identity: letters[leaf.replicaIdentity], keys: [key] })),
  };
}

/** Watchers bound to `known`, with a catalog that now has `now`. */
function watching(
  known: Table | readonly Table[],
  now: readonly Table[],
  entries: readonly WatcherEntry[],
  more: readonly ConfigurationIssue[] = [],
  projected: ReadonlySet<number> = new Set(),
  /** OIDs of tables that now have another name. */
  renamed: readonly number[] = [],
) {
  const watchers = watchersFor(...entries);
  const steps: string[] = [];
  const schema = new Schema(watchers, undefined, {
    issues: () => more,
    bound: (bound) =>
      steps.push(`bound to ${bound.map(({ table }) => `${table.name} ${table.columns.length}`).join(', ')}`),
    warn: (warnings) => steps.push(...Array.from(warnings, ({ code, message }) => `${code} ${message}`)),
  });
  const asked: unknown[] = [];
  /** Answers like the server: the named tables, the one of the relation, and the one that it is a partition of. */
  const tablesOf = (schemas: readonly string[], names: readonly string[], relation: number | null) => {
    asked.push(names);
    const isNamed = ({ schema, name }: Table) => names.some((one, index) => one === name && schemas[index] === schema);
    const isRelation = ({ oid, leaves }: Table) => oid === relation || leaves.some((leaf) => leaf.oid === relation);
    return now.filter((one) => isNamed(one) || isRelation(one)).map(rowOf);
  };
  const answer = (text: string, values: readonly any[]) =>
    text.includes('pg_inherits')
      ? tablesOf(values[0], values[1], values[2])
      : text.includes('pg_class')
        ? [...now.map(({ oid }) => oid), ...renamed].map((oid) => ({ oid }))
        : [];
  const query = (text: string, values: readonly unknown[]) => Promise.resolve({ rows: answer(text, values) });
  const session = {
    use: (task: (client: Client) => unknown) => (steps.push('ask'), task({ query } as unknown as Client)),
  } as unknown as Session;
  schema.bind(bindWatchers(watchers, [known].flat(), { major: 17 }).bound, { major: 17 }, projected);
  steps.length = 0;
  const described = (table: Table) =>
    schema.described(relationOf(table), session, () => Promise.resolve(void steps.push('visible')));
  return { schema, steps, described, asked };
}
const withColumns = (...columns: readonly Column[]) => usersTable({ columns });

describe('a table that the stream describes like the catalog did', () => {
  test('needs no query: its plan is known', () => {
    const { schema, steps, described } = watching(users, [], [['users', 'updated', { extraColumns: ['email'] }]]);
    expect([described(users), steps]).toEqual([undefined, []]);
    expect(schema.plan(relationOf(users))).toMatchObject({ wanted: [0, 1] });
    expect(schema.tableOids).toEqual(new Map([['"public"."users"', users.oid]]));
  });

  test("needs no query with a column list either, even if it is described several times with the watchers' columns only", async () => {
    const entries: WatcherEntry[] = [['users', 'updated', { extraColumns: ['email'] }]];
    const { steps, described } = watching(users, [users], entries, [], new Set([users.oid]));
    const listed = withColumns(...users.columns.slice(0, 2));
    expect([described(listed), described(listed), steps]).toEqual([undefined, undefined, []]);
    await described(withColumns(users.columns[0]!)); // a missing column that a watcher needs: the list did not have it then, or it was dropped
    expect(steps).toContain('ask');
    expect(described(listed)).toBeUndefined();
    expect(watching(users, [users], entries).described(listed)).toBeDefined();
  });

  test('needs no query if no watcher needs it', () => {
    const { schema, steps, described } = watching(users, [], [['users', 'updated']]);
    const posts = usersTable({ oid: 9, name: 'posts' });
    expect([described(posts), steps, schema.plan(relationOf(posts))]).toEqual([undefined, [], undefined]);
  });

  test('is found by its OID, even if it had another name when the change was written; otherwise by its name', () => {
    const { schema } = watching(users, [], [['users', 'updated']]);
    expect(schema.plan(relationOf(usersTable({ name: 'people' })))).toBeDefined();
    expect(schema.plan(relationOf(usersTable({ oid: 9 })))).toBeDefined();
    expect(schema.plan(relationOf(usersTable({ oid: 9, schema: 'erp' })))).toBeUndefined();
  });
});

describe('a table that was changed', () => {
  test('is read when its transaction is visible, and the watchers are bound to it again', async () => {
    const wider = withColumns(...users.columns, column('age', oids.int4));
    const { steps, described } = watching(users, [wider], [['users', 'updated']]);
    await described(wider);
    expect(steps).toEqual(['visible', 'ask', 'bound to users 5']);
    expect(described(wider)).toBeUndefined();
  });

  test('causes a warning if a column that no watcher needs was dropped or has another type', async () => {
    const [id, email, , bio] = users.columns;
    const changed = withColumns(id!, { ...email!, typeOid: 1043 }, bio!);
    const { steps, described } = watching(users, [changed], [['users', 'updated', { extraColumns: ['email'] }]]);
    await described(changed);
    expect(steps.filter((step) => step.startsWith('SCHEMA_CHANGED'))).toEqual([
      `SCHEMA_CHANGED the column 'email' of "public"."users" has another type now`,
      `SCHEMA_CHANGED the column 'role_id' of "public"."users" is gone`,
    ]);
  });

  test('has its types looked up: those of the change, and those in the catalog', async () => {
    const [id, email] = users.columns;
    const written = withColumns(id!, { ...email!, typeOid: 16_500 });
    const now = withColumns(id!, { ...email!, typeOid: 16_600 });
    const { schema, described } = watching(users, [now], [['users', 'updated', { extraColumns: ['email'] }]]);
    await described(written);
    expect([schema.types.knows(16_500), schema.types.knows(16_600)]).toEqual([true, true]);
  });

  test.each([
    ['lost a column that a watcher needs', withColumns(users.columns[0]!), "has no column 'email'"],
    ['has another primary key', usersTable({ primaryKey: ['email'] }), 'the primary key was id and is now email'],
  ])('and %s ends the watch, and is not acknowledged', async (_, changed, message) => {
    const { steps, described } = watching(users, [changed], [['users', 'updated', { extraColumns: ['email'] }]]);
    await expect(described(changed)).rejects.toMatchObject({
      code: 'SCHEMA_CHANGED',
      retry: 'never',
      message: expect.stringContaining(message),
      cause: { code: 'CONFIGURATION' },
    });
    expect(steps).not.toContainEqual(expect.stringContaining('bound'));
  });

  test('and no longer fits a filter ends the watch', async () => {
    const wider = withColumns(...users.columns, column('age', oids.int4));
    const { described } = watching(
      users,
      [wider],
      [['users', 'updated']],
      [{ message: 'no such filter', solution: undefined }],
    );
    await expect(described(wider)).rejects.toThrow('no such filter');
  });

  test('in its replica identity causes a warning, after the catalog was read: needed old values are not sent any more', async () => {
    const full = usersTable({ replicaIdentity: 'full' });
    const { steps, described } = watching(full, [users], [['users', 'deleted', { extraColumns: ['role_id'] }]]);
    await described(users);
    expect(steps).toEqual(['visible', 'ask', expect.stringMatching(/^REPLICA_IDENTITY .*role_id/), 'bound to users 4']);
  });

  test('and lost a column with REPLICA IDENTITY FULL ends the watch, and the error does not blame the replica identity', async () => {
    const full = usersTable({ replicaIdentity: 'full' });
    const narrower = usersTable({ replicaIdentity: 'full', columns: users.columns.filter(({ name }) => name !== 'role_id') }); // prettier-ignore
    const { steps, described } = watching(full, [narrower], [['users', 'deleted', { extraColumns: ['role_id'] }]]);
    await expect(described(narrower)).rejects.toMatchObject({
      code: 'SCHEMA_CHANGED',
      message: expect.stringMatching(/^"public"\."users" was changed.* has no column 'role_id'/s),
    });
    expect(steps).toEqual(['visible', 'ask']);
  });
});

describe('another watched table', () => {
  const posts = usersTable({ oid: 16_600, name: 'posts' });
  const wider = withColumns(...users.columns, column('age', oids.int4));
  const entries: WatcherEntry[] = [['users', 'updated'], ['posts', 'updated', { extraColumns: ['email'] }]]; // prettier-ignore

  test.each([
    ['was dropped', []],
    ['lost a column', [{ ...posts, columns: posts.columns.slice(0, 1) }]],
  ] as const)('that %s does not end the watch when this one is described, and stays bound as it was', async (_, left) => {
    const { steps, described, schema, asked } = watching([users, posts], [wider, ...left], entries);
    await described(wider);
    expect([steps.at(-1), asked]).toEqual(['bound to users 5', [['users']]]);
    expect(schema.plan(relationOf(posts))).toBeDefined();
  }); // prettier-ignore

  test('that no longer fits ends the watch when it is described itself, and the error names it', async () => {
    const unfit = { ...posts, columns: posts.columns.slice(0, 1) };
    const { described } = watching([users, posts], [users, unfit], entries);
    await expect(described(unfit)).rejects.toMatchObject({ message: expect.stringMatching(/^"public"."posts" was changed/) }); // prettier-ignore
  });

  test('that was dropped stays bound when older changes describe it again', async () => {
    const { steps, described, schema } = watching([users, posts], [users], entries);
    const written = usersTable({ ...posts, columns: [...posts.columns, column('age', oids.int4)] });
    await described(written);
    expect(steps.at(-1)).toBe('bound to posts 4');
    expect(schema.plan(relationOf(written))).toBeDefined();
  });

  test('that was renamed ends the watch', async () => {
    const renamed = { ...posts, name: 'articles' };
    const { described } = watching([users, posts], [users], entries, [], new Set(), [posts.oid]);
    await expect(described(renamed)).rejects.toMatchObject({ code: 'SCHEMA_CHANGED', message: expect.stringContaining('table "public"."posts" does not exist') }); // prettier-ignore
  });
});

test('a table that now has the name of another watcher is bound to that watcher as well', async () => {
  const renamed = usersTable({ name: 'people', columns: [...users.columns, column('age', oids.int4)] });
  const people = usersTable({ oid: 16_700, name: 'people' });
  const entries: WatcherEntry[] = [['users', 'updated'], ['people', 'updated'], ['posts', 'updated']]; // prettier-ignore
  const known = [users, people, usersTable({ oid: 16_600, name: 'posts' })];
  const { steps, described, asked } = watching(known, [renamed, users], entries);
  await described({ ...users, columns: renamed.columns }); // old WAL has its old name
  expect([steps.at(-1), asked]).toEqual(['bound to users 4, people 5', [['users']]]);
});

describe('a partition', () => {
  const leaf = { oid: 50, schema: 'public', name: 'users_1', replicaIdentity: 'default' } as const;
  const root = usersTable({ kind: 'p', leaves: [leaf] });
  const described = (oid: number, replicaIdentity: 'default' | 'full' = 'default') =>
    usersTable({ oid, name: `users_${oid}`, replicaIdentity });

  test('that is known needs no query', () => {
    const one = watching(root, [root], [['users', 'updated']]);
    expect([one.described(described(leaf.oid)), one.steps]).toEqual([undefined, []]);
  });

  test('that is new, or has another replica identity, needs a query; one that no watcher needs only once', async () => {
    const one = watching(root, [root], [['users', 'updated']]);
    for (const table of [described(leaf.oid, 'full'), described(77)]) await one.described(table);
    expect(one.steps.filter((step) => step === 'ask')).toHaveLength(2);
    expect(one.described(described(77))).toBeUndefined();
  });

  test('that is new and gives less than the watchers need causes a warning', async () => {
    const entry = ['users', 'deleted', { extraColumns: ['role_id'] }] as const;
    const leaves = [leaf, { ...leaf, oid: 77, name: 'users_77' }];
    const known = usersTable({ kind: 'p', leaves: [{ ...leaf, replicaIdentity: 'full' }], replicaIdentity: 'full' });
    const { steps, described: describes } = watching(known, [{ ...known, leaves }], [entry]);
    await describes(described(77));
    expect(steps).toContainEqual(expect.stringMatching(/^REPLICA_IDENTITY .*'role_id'/));
  });

  test('of an unwatched table needs no query if no watched table is partitioned', () => {
    expect(watching(users, [users], [['users', 'updated']]).described(described(77))).toBeUndefined();
  });
});
