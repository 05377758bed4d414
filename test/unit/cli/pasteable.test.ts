/** What is printed as a solution can be pasted into psql. */
import { expect, test } from 'vitest';
import { pasteable, statementsOf } from '../../../src/cli/pasteable.ts';

test.each([
  ['a statement stays as it is', 'ALTER TABLE "a" REPLICA IDENTITY FULL;', 'ALTER TABLE "a" REPLICA IDENTITY FULL;'],
  ['what is said before and after it becomes comments', 'If nobody needs it: DROP TABLE a; and restart the server.', '-- If nobody needs it:\nDROP TABLE a;\n-- and restart the server.'],
  ['statements stay together', 'Run: BEGIN; SELECT 1; COMMIT; then wait.', '-- Run:\nBEGIN; SELECT 1; COMMIT;\n-- then wait.'],
  ['semicolons in quotes end nothing', `COMMENT ON TABLE "a;b" IS 'c;''d'; x`, `COMMENT ON TABLE "a;b" IS 'c;''d';\n-- x`],
  ['nor do those in dollar quotes', 'DO $x$ BEGIN NULL; END $x$; or not', 'DO $x$ BEGIN NULL; END $x$;\n-- or not'],
  ['what has to be filled in is said, not run', 'Name them: ALTER SYSTEM SET a = \'…\'; SELECT pg_reload_conf();', "-- Name them: ALTER SYSTEM SET a = '…';\nSELECT pg_reload_conf();"],
  ['a comment stays one', 'SELECT 1; -- only when\nnobody needs it', 'SELECT 1;\n-- only when\n-- nobody needs it'],
  ['a text stays a text', 'Grant SELECT on it, and set manage: \'verify\'.', "Grant SELECT on it, and set manage: 'verify'."],
  ['a statement without an end is none', 'SELECT the table', 'SELECT the table'],
])('%s', (_, solution, pasted) => {
  expect(pasteable(solution)).toBe(pasted);
  expect(pasteable(pasted)).toBe(pasted);
}); // prettier-ignore

test('the statements of a text are found one by one', () => {
  expect(statementsOf('-- a;\nSET x = 1; BEGIN; DO $w$ a; $w$;\n-- b\nCOMMIT;')).toEqual([
    'SET x = 1;', 'BEGIN;', 'DO $w$ a; $w$;', 'COMMIT;',
  ]); // prettier-ignore
});
