/** SQL of ours may be pasted into any session: its functions and tables have their schema. test/security runs it all. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const source = fileURLToPath(new URL('../../src', import.meta.url));
/** Sets the search path in the same query. */
const sets = ['postgres/own-tables.ts', 'postgres/migrations.ts'];

test("no SQL in src has a function or table of PostgreSQL's by its bare name", () => {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const bare = files
    .filter((file) => !sets.includes(file))
    .flatMap((file) =>
      readFileSync(join(source, file), 'utf8')
        .split('\n')
        .filter((line) => !/^\s*(\/\/|\/?\*)/.test(line))
        .filter((line) => /(?<![.\w])pg_\w+\(|\b(from|join|update|into)\s+pg_(?!catalog\.)\w+|::reg\w+/i.test(line))
        .map((line) => `${file}: ${line.trim()}`),
    );
  expect(bare).toEqual([]);
});
