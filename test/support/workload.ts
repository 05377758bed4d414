/** Random work on tables with the columns id, a, b, big and note, in transactions, savepoints and statements that fail. */
import fc from 'fast-check';

export interface Operation {
  /** Run one after the other; a failing one is rolled back, and the last is followed by a commit. */
  readonly statements: readonly string[];
}

const values: Readonly<
  Record<string, { readonly b: readonly string[]; readonly big: readonly string[]; readonly note: readonly string[] }>
> = {
  plain: {
    b: ['1.5', '0.00', '-1', 'null'],
    big: [`repeat('x', 9000)`, `repeat('y', 20)`, 'null', `''`],
    note: [`'{new,NULL}'`, `'{}'`, `'[2:3]={done,new}'`, 'null'],
  },
  composite: {
    b: [`'{"a": [1, null]}'`, `'null'`, `'"t"'`, 'null'],
    big: [`repeat('ä', 5000)`, `'😀'`, 'null', `E'\\\\'`],
    note: [`'2026-11-22 10:00:00.123456+02'`, `'infinity'`, `'0044-03-15 12:00:00+00 BC'`, 'null'],
  },
  routed: {
    b: [`'t'`, `E'line\\nbreak'`, `'f'`, 'null'],
    big: [`'\\x00ff'`, `decode(repeat('ab', 9000), 'hex')`, `''`, 'null'],
    note: [`'[1,5)'`, `'empty'`, `'(,3]'`, 'null'],
  },
  parted: {
    b: [`'x'`, `' '`, `'null'`, 'null'],
    big: [`repeat('z', 3000)`, `'"'`, `''`, 'null'],
    note: [`'1 year 2 days'`, `'-00:00:01.5'`, `'0'`, 'null'],
  },
};

const id = fc.integer({ min: 0, max: 9 });

function statement(table: string): fc.Arbitrary<string> {
  const { b, big, note } = values[table]!;
  const row = fc.tuple(
    id,
    fc.oneof(id.map(String), fc.constant('null')),
    fc.constantFrom(...b),
    fc.constantFrom(...big),
    fc.constantFrom(...note),
  );
  const set = fc.oneof(
    fc.constantFrom(...b).map((value) => `b = ${value}`),
    fc.constantFrom(...big).map((value) => `big = ${value}`),
    fc.constantFrom(...note).map((value) => `note = ${value}`),
    id.map((value) => `a = ${value}`),
    id.map((value) => `id = ${value}`),
  );
  return fc.oneof(
    { weight: 5, arbitrary: row.map((one) => `insert into ${table} values (${one.join()})`) },
    {
      weight: 2,
      arbitrary: fc
        .array(row, { minLength: 2, maxLength: 4 })
        .map(
          (rows) =>
            `insert into ${table} values ${rows.map((one) => `(${one.join()})`).join()} on conflict (id) do update set b = excluded.b, big = excluded.big`,
        ),
    },
    {
      weight: 5,
      arbitrary: fc.tuple(set, id).map(([change, where]) => `update ${table} set ${change} where id = ${where}`),
    },
    {
      weight: 2,
      arbitrary: set.filter((change) => !change.startsWith('id')).map((change) => `update ${table} set ${change}`),
    },
    { weight: 3, arbitrary: id.map((where) => `delete from ${table} where id = ${where}`) },
    { weight: 1, arbitrary: fc.constant(`truncate ${table}`) },
  );
}

/** Whole transactions, of statements on any of the tables. */
export function workload(tables: readonly string[]): fc.Arbitrary<readonly Operation[]> {
  const one = fc.oneof(...tables.map(statement));
  const savepoint = fc
    .tuple(fc.array(one, { maxLength: 3 }), fc.boolean())
    .map(([inner, kept]) => ['savepoint s', ...inner, kept ? 'release s' : 'rollback to s']);
  const transaction = fc
    .array(fc.oneof({ weight: 3, arbitrary: one.map((single) => [single]) }, { weight: 1, arbitrary: savepoint }), {
      minLength: 1,
      maxLength: 6,
    })
    .map((parts): Operation => ({ statements: ['begin', ...parts.flat()] }));
  return fc.array(transaction, { minLength: 1, maxLength: 12 });
}
