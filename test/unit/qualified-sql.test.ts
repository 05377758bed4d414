/** walwatch's SQL may be pasted into any session, so its functions and tables include their schema. test/security runs it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const source = fileURLToPath(new URL('../../src', import.meta.url));
/** These files set the search path in the same query. */
const sets = ['postgres/own-tables.ts', 'postgres/migrations.ts'];

test('SQL in src names the schema of every function and table of PostgreSQL', () => {
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
