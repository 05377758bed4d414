/** Column lists and row filters in the statements that create and alter a publication. */
import { describe, expect, test } from 'vitest';
import type { ListedTable, Operation, Publication, PublicationNeeds } from '../../../src/setup/publication.ts';
import {
  completePublication, createPublication, narrowPublication, script, widenPublication,
} from '../../../src/setup/publication-sql.ts'; // prettier-ignore
import { columnList, type PushedDown } from '../../../src/setup/pushed-down.ts';
import { bare } from '../../../src/setup/row-filter.ts';
import { boundTo, column, oids, usersTable } from '../../support/sample-tables.ts';

const users = usersTable();
const { oid, schema, name } = users;

function needs(pushed: Partial<PushedDown>, operations: readonly Operation[] = ['insert']): PublicationNeeds {
  const entry = {
    columns: undefined,
    where: undefined,
    needed: pushed.columns ?? ['id'],
    reason: undefined,
    outside: [],
    ...pushed,
  };
  return {
    name: 'p', tables: [users], operations: new Set(operations), generatedColumns: false, pushedDown: new Map([[oid, entry]]),
  }; // prettier-ignore
}

function having(listed: Partial<ListedTable>, operations: readonly Operation[] = ['insert']): Publication {
  return {
    oid: 1, allTables: false, ofSchemas: false, operations: new Set(operations), viaRoot: true, generatedColumns: false,
    listed: [{ oid, schema, name, columns: undefined, where: undefined, outside: [], ...listed }],
    carried: new Set(['"public"."users"']), comment: null,
  }; // prettier-ignore
}
const empty = { ...having({}), listed: [], carried: new Set<string>() };

const relisted = (entry: string) => [
  'ALTER PUBLICATION "p" DROP TABLE ONLY "public"."users"',
  `ALTER PUBLICATION "p" ADD TABLE ONLY "public"."users"${entry}`,
];
const paid = { where: '(id > 7)' };

describe('a column list', () => {
  const listOf = (more: Parameters<typeof usersTable>[0], major = 17, wholesale = false) => {
    const table = usersTable(more);
    const bound = boundTo(table, ['users', 'inserted', { extraColumns: ['role_id'] }]);
    return columnList(table, bound, { major }, { columnLists: true, wholesale });
  };

  test('contains the columns of the watchers and of the replica identity, in the order of the table', () => {
    expect(listOf({ replicaIdentity: 'index' })).toEqual({
      columns: ['id', 'email', 'role_id'],
      needed: ['id', 'email', 'role_id'],
      reason: undefined,
    });
  });

  test('contains the replica identities of all partitions', () => {
    const leaf = { oid: 7, schema, name: 'low', replicaIdentity: 'index' as const };
    const table = { kind: 'p', leaves: [leaf], identityUnion: new Set(['id', 'bio']) };
    expect(listOf(table).columns).toEqual(['id', 'role_id', 'bio']);
  });

  test("is impossible if PostgreSQL would refuse it, or refuse the application's writes", () => {
    const leaf = { oid: 7, schema, name: 'low', replicaIdentity: 'full' as const };
    const computed = column('key', oids.int4, { generated: 'stored' });
    const generated = { columns: [...users.columns, computed], identityUnion: new Set(['id', 'key']) };
    expect(listOf({ replicaIdentity: 'full' }).reason).toContain('"public"."users" has REPLICA IDENTITY FULL');
    expect(listOf({ kind: 'p', leaves: [leaf] }).reason).toContain('"public"."low" has REPLICA IDENTITY FULL');
    expect(listOf({}, 17, true).reason).toContain('for all tables or for schemas');
    expect(listOf(generated, 17).reason).toContain("the generated column 'key'");
    expect(listOf(generated, 18).columns).toEqual(['id', 'role_id', 'key']);
    expect(listOf({ replicaIdentity: 'full' }).columns).toBeUndefined();
  });
});

describe('before the worker has the slot', () => {
  test('a new publication or table gets its list and filter', () => {
    const both = needs({ columns: ['id', 'a"b'], ...paid });
    expect(createPublication(both)).toContain(`FOR TABLE ONLY "public"."users" ("id", "a""b") WHERE ((id > 7)) WITH`);
    expect(widenPublication(both, empty)).toEqual([relisted(' ("id", "a""b") WHERE ((id > 7))')[1]]);
  });

  test('columns are added to those of the old worker, and a table without a list gets none', () => {
    const wanted = needs({ columns: ['id', 'a'] });
    expect(widenPublication(wanted, having({ columns: ['id', 'b'] }))).toEqual(relisted(' ("id", "b", "a")'));
    expect(widenPublication(wanted, having({ columns: ['a', 'b', 'id'] }))).toEqual([]);
    expect(widenPublication(wanted, having({}))).toEqual([]);
    expect(widenPublication(needs({}), having({ columns: ['id', 'b'] }))).toEqual(relisted(''));
  });

  test('a filter is not changed, even if the list changes', () => {
    expect(widenPublication(needs({ where: '(id > 8)' }), having(paid))).toEqual([]);
    expect(widenPublication(needs({ columns: ['a'] }), having({ columns: ['b'], ...paid }))).toEqual(
      relisted(' ("b", "a") WHERE ((id > 7))'),
    );
  });

  test('a filter that would make PostgreSQL refuse updates is removed before they are published, and added only after they are not', () => {
    const outside = { ...paid, outside: ['id'] };
    expect(widenPublication(needs(outside, ['update']), having(outside)).slice(1)).toEqual(relisted(''));
    expect(widenPublication(needs(outside, ['insert']), having(outside))).toEqual([]);
    const elsewhere = { ...needs({}, ['delete']), tables: [], pushedDown: new Map() };
    expect(widenPublication(elsewhere, having(outside)).slice(1)).toEqual(relisted(''));
    const published = { ...empty, operations: new Set<Operation>(['update']) };
    expect(widenPublication(needs(outside), published).at(-1)).toBe(relisted('')[1]);
    expect(narrowPublication(needs(outside), having({}, ['insert', 'update'])).slice(1)).toEqual(
      relisted(' WHERE ((id > 7))'),
    );
  });
});

describe('when the worker has the slot', () => {
  test('lists and filters contain only needed columns and rows', () => {
    const wanted = needs({ columns: ['id', 'a'], ...paid });
    const all = relisted(' ("id", "a") WHERE ((id > 7))');
    for (const now of [{}, { columns: ['id', 'a', 'b'], ...paid }, { columns: ['id', 'a'], where: '(id > 8)' }])
      expect(narrowPublication(wanted, having(now))).toEqual(all);
    expect(narrowPublication(wanted, having({ columns: ['a', 'id'], ...paid }))).toEqual([]);
    expect(narrowPublication(needs({}), having(paid))).toEqual(relisted(''));
  });
});

describe('a publication that is only verified', () => {
  test('may send more columns than needed', () => {
    const wanted = needs({ columns: ['id', 'a'] });
    expect(completePublication(wanted, having({}))).toEqual([]);
    expect(completePublication(wanted, having({ columns: ['b', 'a', 'id'] }))).toEqual([]);
    expect(completePublication(wanted, having({ columns: ['id', 'b'] }))).toEqual(relisted(' ("id", "b", "a")'));
    expect(completePublication(needs({}), having({ columns: ['id', 'b'] }))).toEqual([]);
    expect(completePublication(needs({ needed: ['id', 'a'] }), having({ columns: ['id'] }))).toEqual(relisted(''));
  });

  test("must have exactly the watchers' filter, or none if they have none", () => {
    expect(completePublication(needs(paid), having(paid))).toEqual([]);
    expect(completePublication(needs(paid), having({}))).toEqual(relisted(' WHERE ((id > 7))'));
    expect(completePublication(needs({}), having(paid))).toEqual(relisted(''));
  });
});

test('statements to run by hand form one transaction', () => {
  expect(script(['A'])).toBe('A;');
  expect(script(['A', 'B'])).toBe('BEGIN; A; B; COMMIT;');
});

test('expressions are compared without what PostgreSQL adds to them, but without other differences', () => {
  expect(bare(`((state = 'a'::text) AND (at > '2026-01-01 00:00:00'::timestamp without time zone))`)).toBe(
    bare(`state='a' and at > '2026-01-01 00:00:00'`),
  );
  expect(bare(`(n = ANY ('{1,2}'::integer[]))`)).toBe(bare(`n = any ('{1,2}')`));
  expect(bare(`(price = 1.5::numeric(10,2))`)).toBe(bare('price = 1.5'));
  expect(bare('n > 1')).not.toBe(bare('n > 2'));
});
