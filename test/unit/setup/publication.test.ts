import { describe, expect, test } from 'vitest';
import type { Table } from '../../../src/postgres/tables.ts';
import {
  commentOnPublication, fallenOut, type ListedTable, type Operation, type Publication, publicationNeeds,
} from '../../../src/setup/publication.ts'; // prettier-ignore
import { createPublication, narrowPublication, widenPublication } from '../../../src/setup/publication-sql.ts';
import { bindWatchers } from '../../../src/watchers/bind.ts';
import { boundTo, column, oids, usersTable, watchersFor } from '../../support/sample-tables.ts';

const users = usersTable();
const lines = usersTable({ oid: 16_500, schema: 'erp', name: 'Order "Lines"' });

function needs(operations: readonly Operation[], tables = [users]) {
  return { name: 'accounts', tables, operations: new Set(operations), generatedColumns: false, pushedDown: new Map() };
}

function listing({ oid, schema, name }: Table): ListedTable {
  return { oid, schema, name, columns: undefined, where: undefined, outside: [] };
}

function publication(more: Partial<Publication> = {}): Publication {
  return {
    oid: 1,
    allTables: false,
    ofSchemas: false,
    operations: new Set(['insert']),
    viaRoot: true,
    generatedColumns: false,
    listed: [listing(users)],
    carried: new Set(['"public"."users"']),
    comment: null,
    ...more,
  };
}
const empty = publication({ listed: [], carried: new Set() });

describe('the watchers need', () => {
  test('each table once, and the operations of all of them', () => {
    const bound = [
      ...boundTo(users, ['users', 'inserted'], ['users', 'updated']),
      ...boundTo(lines, ['erp.Order "Lines"', 'deleted'], ['erp.Order "Lines"', 'truncated']),
    ];
    const operations = new Set(['insert', 'update', 'delete', 'truncate']);
    expect(publicationNeeds('accounts', bound, { major: 18 })).toEqual({
      name: 'accounts', tables: [users, lines], operations, generatedColumns: false,
    }); // prettier-ignore
    expect(publicationNeeds('accounts', bound.slice(0, 1), { major: 18 }).operations).toEqual(new Set(['insert']));
  });

  test('stored generated columns, if the server sends them: when a watcher or the replica identity has them', () => {
    const computed = column('total', oids.int4, { generated: 'stored' });
    const table = (more: Partial<Table>) => usersTable({ columns: [...users.columns, computed], ...more });
    const needed = (major: number, more: Partial<Table>, extraColumns: string[]) => {
      const { bound } = bindWatchers(watchersFor(['users', 'updated', { extraColumns }]), [table(more)], { major: 18 });
      return publicationNeeds('accounts', bound, { major }).generatedColumns;
    };
    expect(needed(18, {}, [])).toBe(false);
    expect(needed(18, {}, ['total'])).toBe(true);
    expect(needed(18, { replicaIdentity: 'full' }, [])).toBe(true);
    expect(needed(17, { replicaIdentity: 'full' }, ['total'])).toBe(false);
    expect(needed(18, { replicaIdentity: 'full', columns: users.columns }, [])).toBe(false);
  });
});

describe('a new publication', () => {
  test('has the needed tables and operations, with partitions under their root', () => {
    expect(createPublication(needs(['insert', 'delete']))).toBe(
      `CREATE PUBLICATION "accounts" FOR TABLE ONLY "public"."users" WITH (publish = 'insert, delete', publish_via_partition_root = true)`,
    );
  });

  test('has quoted names, whatever they contain', () => {
    expect(createPublication({ ...needs(['insert'], [users, lines]), name: 'My "own"' })).toBe(
      `CREATE PUBLICATION "My ""own""" FOR TABLE ONLY "public"."users", ONLY "erp"."Order ""Lines""" WITH (publish = 'insert', publish_via_partition_root = true)`,
    );
  });

  test('sends generated columns if they are needed', () => {
    expect(createPublication({ ...needs(['insert']), generatedColumns: true })).toContain(
      `publish_via_partition_root = true, publish_generated_columns = stored)`,
    );
  });

  test('is empty without watchers', () => {
    expect(createPublication(needs([], []))).toBe(
      `CREATE PUBLICATION "accounts" WITH (publish = '', publish_via_partition_root = true)`,
    );
  });
});

describe('widening a publication', () => {
  test('changes nothing if nothing is missing', () => {
    expect(widenPublication(needs(['insert']), publication())).toEqual([]);
  });

  test('adds a missing table', () => {
    expect(widenPublication(needs(['insert'], [users, lines]), publication())).toEqual([
      'ALTER PUBLICATION "accounts" ADD TABLE ONLY "erp"."Order ""Lines"""',
    ]);
  });

  test('adds a missing operation to those that others may need', () => {
    expect(widenPublication(needs(['update', 'insert']), publication({ operations: new Set(['truncate']) }))).toEqual([
      `ALTER PUBLICATION "accounts" SET (publish = 'truncate, update, insert', publish_via_partition_root = true)`,
    ]);
  });

  test('adds missing generated columns, and never removes them', () => {
    const generated = { ...needs(['insert']), generatedColumns: true };
    expect(widenPublication(generated, publication())).toEqual([
      `ALTER PUBLICATION "accounts" SET (publish = 'insert', publish_via_partition_root = true, publish_generated_columns = stored)`,
    ]);
    expect(widenPublication(generated, publication({ generatedColumns: true }))).toEqual([]);
    expect(widenPublication(needs(['insert']), publication({ generatedColumns: true }))).toEqual([]);
    const wide = publication({ generatedColumns: true, operations: new Set(['insert', 'update']) });
    expect(narrowPublication(generated, wide)).toEqual([expect.stringContaining('publish_generated_columns = stored')]);
  });

  test('does not add a table that it carries for another reason than its name: all tables, or a schema', () => {
    const ofSchema = publication({ listed: [], carried: new Set(['"public"."users"']) });
    expect(widenPublication(needs(['insert']), ofSchema)).toEqual([]);
    expect(widenPublication(needs(['insert']), { ...empty, allTables: true })).toEqual([]);
  });

  test('does not add a table twice that is listed but not carried', () => {
    expect(widenPublication(needs(['insert']), publication({ carried: new Set() }))).toEqual([]);
  });

  test('treats a re-created table with the same name as another table', () => {
    const older = publication({ listed: [{ ...listing(users), oid: 1 }], carried: new Set() });
    expect(widenPublication(needs(['insert']), older)).toEqual([
      'ALTER PUBLICATION "accounts" ADD TABLE ONLY "public"."users"',
    ]);
  });

  test('publishes partitions under their root as soon as one of them is watched', () => {
    const set = `ALTER PUBLICATION "accounts" SET (publish = 'insert', publish_via_partition_root = true)`;
    const leaf = { ...users, ancestors: [9] };
    const byLeaf = publication({ viaRoot: false });
    expect(widenPublication(needs(['insert'], [{ ...users, kind: 'p' }]), byLeaf)).toEqual([set]);
    expect(widenPublication(needs(['insert'], [leaf]), byLeaf)).toEqual([set]);
    expect(widenPublication(needs(['insert'], [leaf]), publication())).toEqual([]);
    expect(widenPublication(needs(['insert']), byLeaf)).toEqual([]);
  });
});

describe('narrowing a publication', () => {
  test('changes nothing if everything is needed', () => {
    expect(narrowPublication(needs(['insert']), publication())).toEqual([]);
    expect(narrowPublication(needs(['insert', 'update']), publication())).toEqual([]);
  });

  test('removes a table that has no watcher any more', () => {
    expect(narrowPublication(needs(['insert']), publication({ listed: [listing(users), listing(lines)] }))).toEqual([
      'ALTER PUBLICATION "accounts" DROP TABLE ONLY "erp"."Order ""Lines"""',
    ]);
  });

  test('removes an operation that has no watcher any more', () => {
    const wide = publication({ operations: new Set(['insert', 'update']) });
    expect(narrowPublication(needs(['insert']), wide)).toEqual([
      `ALTER PUBLICATION "accounts" SET (publish = 'insert', publish_via_partition_root = true)`,
    ]);
  });

  test('and widening it do not undo each other', () => {
    const wide = publication({
      operations: new Set(['insert', 'update', 'delete', 'truncate']),
      listed: [listing(users), listing(lines)],
    });
    expect(narrowPublication(needs(['update']), wide)).toHaveLength(2);
    expect(widenPublication(needs(['update']), wide)).toEqual([]);
  });
});

test('a comment is a quoted literal, whatever it contains', () => {
  expect(commentOnPublication('My "own"', `it's`)).toBe(`COMMENT ON PUBLICATION "My ""own""" IS 'it''s'`);
  expect(commentOnPublication('a', '\\')).toBe(`COMMENT ON PUBLICATION "a" IS  E'\\\\'`);
});

test('a table that the publication lost is reported with the reason and the statement that adds it', () => {
  const error = fallenOut('accounts', lines, 17_000);
  expect(error).toMatchObject({
    code: 'PUBLICATION_CHANGED',
    message: expect.stringContaining('re-created (OID 17000)'),
  });
  expect(error.solution).toContain('ALTER PUBLICATION "accounts" ADD TABLE ONLY "erp"."Order ""Lines""";');
  expect(fallenOut('accounts', lines, undefined).message).toContain('was dropped or renamed');
});
