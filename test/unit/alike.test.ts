import { expect, test } from 'vitest';
import { ConfigurationError, type ConfigurationIssue } from '../../src/errors.ts';

/** The problem of a table without a replica identity, as bindWatchers() reports it. */
const issue = (table: string, schema = 'public', type = 'updated'): ConfigurationIssue => ({
  message: `${table}:${type}: "${schema}"."${table.replaceAll('"', '""')}" has no replica identity. PostgreSQL would refuse its updates`,
  solution: `ALTER TABLE "${schema}"."${table}" REPLICA IDENTITY FULL;`,
  watcher: `${table}:${type}`,
  table,
});
const tables = Array.from({ length: 500 }, (_, index) => `t${index}`);

test('the same problem of 500 tables is reported once, with a few of their names; `issues` lists all of them', () => {
  const issues = tables.map((table) => issue(table));
  const error = new ConfigurationError(issues);
  expect(error.message).toBe(
    [
      '500 problems:',
      '  - t0:updated: "public"."t0" has no replica identity. PostgreSQL would refuse its updates',
      '    ALTER TABLE "public"."t0" REPLICA IDENTITY FULL;',
      '    the same for 499 others: t1:updated, t2:updated, t3:updated, t4:updated, t5:updated, …',
    ].join('\n'),
  );
  expect(error.issues).toEqual(issues);
});

test('problems are grouped over 500 schemas, and with table names that are parts of words or special in SQL', () => {
  const message = (issues: readonly ConfigurationIssue[]) => new ConfigurationError(issues).message.split('\n');
  expect(message(tables.map((schema) => issue('orders', schema)))).toHaveLength(4);
  expect(
    message(['a', 'has', 'no', 'identity', 'x.y', '$&', 'say "x"', 'Ünï'].map((table) => issue(table))),
  ).toHaveLength(4);
});

test('different problems stay separate, in the order of their first tables, and a few of a kind are reported one by one', () => {
  const other = { message: 'slot is missing', solution: 'give it' };
  const { message } = new ConfigurationError([issue('a'), other, issue('b'), ...tables.slice(0, 4).map((table) => ({ ...issue(table), message: `${table}:updated: table "${table}" does not exist` }))]); // prettier-ignore
  expect(message.split('\n').filter((line) => line.startsWith('  - ')).map((line) => line.slice(4, 20))).toEqual([
    'a:updated: "publ', 'b:updated: "publ', 'slot is missing', 't0:updated: tabl', 't1:updated: tabl', 't2:updated: tabl', 't3:updated: tabl',
  ]); // prettier-ignore
});

test('with hundreds of kinds of problems the message stays short and says how many it leaves out', () => {
  const issues = Array.from({ length: 300 }, (_, index) => ({ message: `kind ${index}`, solution: undefined }));
  const lines = new ConfigurationError(issues).message.split('\n');
  expect([lines.length, lines[0], lines.at(-1)]).toEqual([22, '300 problems:', '  - and 280 more, see `issues`']);
});

test('all missing columns of one table are named, but a column that is missing in many tables is reported once', () => {
  const missing = (table: string, column: string): ConfigurationIssue => ({
    message: `${table}:updated: "public"."${table}" has no column '${column}'`,
    solution: undefined,
    watcher: `${table}:updated`,
    table,
    column,
  });
  const columns = Array.from({ length: 8 }, (_, index) => `c${index}`);
  const { message } = new ConfigurationError(columns.map((column) => missing('orders', column)));
  for (const column of columns) expect(message).toContain(`'${column}'`);
  expect(new ConfigurationError(tables.map((table) => missing(table, 'updated_at'))).message.split('\n')).toHaveLength(
    3,
  );
});
