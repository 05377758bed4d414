/** Printed solutions can be pasted into psql. */
import { expect, test } from 'vitest';
import type { SlotState } from '../../../src/cli/slot-state.ts';
import { type Server, serverIssues } from '../../../src/postgres/server.ts';
import { standbysBehind } from '../../../src/postgres/standby-slots.ts';
import { publicationLost } from '../../../src/setup/publication.ts';
import { type Slot, slotIssues } from '../../../src/setup/slot.ts';
import { otherSlotsCheck } from '../../../src/cli/slot-checks.ts';
import { pasteable, statementsOf } from '../../../src/cli/pasteable.ts';

test.each([
  ['a statement stays as it is', 'ALTER TABLE "a" REPLICA IDENTITY FULL;', 'ALTER TABLE "a" REPLICA IDENTITY FULL;'],
  ['words before and after a statement become comments', 'If it is unused: DROP TABLE a; and restart the server.', '-- If it is unused:\n-- DROP TABLE a;\n-- and restart the server.'],
  ['statements stay together', 'Run: BEGIN; SELECT 1; COMMIT; then wait.', '-- Run:\nBEGIN; SELECT 1; COMMIT;\n-- then wait.'],
  ['semicolons in quotes end nothing', `COMMENT ON TABLE "a;b" IS 'c;''d'; x`, `COMMENT ON TABLE "a;b" IS 'c;''d';\n-- x`],
  ['nor do those in dollar quotes', 'DO $x$ BEGIN NULL; END $x$; or not', 'DO $x$ BEGIN NULL; END $x$;\n-- or not'],
  ['a statement with a placeholder becomes a comment', 'Name them: ALTER SYSTEM SET a = \'…\'; SELECT pg_reload_conf();', "-- Name them: ALTER SYSTEM SET a = '…';\nSELECT pg_reload_conf();"],
  ['a comment stays a comment', 'SELECT 1; -- as the\nowner', 'SELECT 1;\n-- as the\n-- owner'],
  ['a flag is not a comment', 'The output of setup --print, such as: SELECT 1;', '-- The output of setup --print, such as:\nSELECT 1;'],
  ['a condition may follow the statement', 'SELECT 1; -- only when it is unused', '-- SELECT 1;\n-- only when it is unused'],
  ['the first of several choices is run', 'SELECT 1; or SELECT 2;', 'SELECT 1;\n-- or\n-- SELECT 2;'],
  ['and none after it', 'If you like: SELECT 1; SELECT 2; Then: SELECT 3;', '-- If you like:\n-- SELECT 1; SELECT 2;\n-- Then:\n-- SELECT 3;'],
  ['nor one in parentheses', 'SELECT 1; (Elsewhere: SELECT 2;)', 'SELECT 1;\n-- (Elsewhere:\n-- SELECT 2;'],
  ['a condition in another sentence does not count', 'If it is there, wait. Look: SELECT 1;', '-- If it is there, wait. Look:\nSELECT 1;'],
  ['a transaction that drops something is not run', 'Run: BEGIN; DROP TABLE a; COMMIT;', '-- Run:\n-- BEGIN; DROP TABLE a; COMMIT;'],
  ['dropping a column is left to a person', 'ALTER TABLE "a" DROP COLUMN "b";', '-- ALTER TABLE "a" DROP COLUMN "b";'],
  ['dropping a slot is, too', "SELECT pg_catalog.pg_drop_replication_slot('a');", "-- SELECT pg_catalog.pg_drop_replication_slot('a');"],
  ['ending a session is left to a person', 'End it: SELECT pg_catalog.pg_terminate_backend(1);', '-- End it:\n-- SELECT pg_catalog.pg_terminate_backend(1);'],
  ['rolling back a prepared transaction is, too', "ROLLBACK PREPARED 'a';", "-- ROLLBACK PREPARED 'a';"],
  ['a table can leave a publication', 'ALTER PUBLICATION a DROP TABLE ONLY b;', 'ALTER PUBLICATION a DROP TABLE ONLY b;'],
  ['a table named DROP does not count', 'ALTER TABLE "DROP" REPLICA IDENTITY FULL;', 'ALTER TABLE "DROP" REPLICA IDENTITY FULL;'],
  ['a text stays a text', 'Grant SELECT on it, and set manage: \'verify\'.', "Grant SELECT on it, and set manage: 'verify'."],
  ['a statement without a semicolon stays text', 'SELECT the table', 'SELECT the table'],
])('%s', (_, solution, pasted) => {
  expect(pasteable(solution)).toBe(pasted);
  expect(pasteable(pasted)).toBe(pasted);
}); // prettier-ignore

const standby = { name: 'a', type: undefined, active: false, invalidationReason: undefined, inactiveSince: undefined };
const slot = { plugin: 'wal2json', database: 'a', failover: false, twoPhase: false } as unknown as Slot;
const state = { name: 'theirs', activePid: null, retainedBytes: 2 ** 40 } as unknown as SlotState;
const mine = { name: 'worker', failover: false };

test.each([
  ['a slot of another program', slotIssues(mine, slot, { database: 'a', major: 17 })[0]!.solution],
  ['a slot with two_phase', slotIssues(mine, { ...slot, plugin: 'pgoutput', twoPhase: true }, { database: 'a', major: 17 })[0]!.solution],
  ['slots of others', otherSlotsCheck([state], 'worker').fix],
  ['a standby with lag', standbysBehind('worker', [standby])[0]!.solution],
  ['a lost publication', publicationLost('x', { slot: 'worker', publication: 'worker' }).solution],
])('the solution for %s is pasted as comments', (_, solution) => {
  const pasted = pasteable(solution!);
  expect(pasted).toMatch(/^-- (SELECT|ALTER) /m);
  expect(statementsOf(pasted)).toEqual([]);
}); // prettier-ignore

test('of several ways to let a role replicate, the first is run', () => {
  const server = { walLevel: 'logical', mayReplicate: false, role: 'w', major: 17 } as unknown as Server;
  const [issue] = serverIssues(server, { origin: 'any', slot: mine });
  expect(pasteable(issue!.solution!)).toBe(
    'ALTER ROLE "w" REPLICATION;\n-- or, on Amazon RDS:\n-- GRANT rds_replication TO "w";',
  );
});

test('the statements of a text are found one by one', () => {
  expect(statementsOf('-- a;\nSET x = 1; BEGIN; DO $w$ a; $w$;\n-- b\nCOMMIT;')).toEqual([
    'SET x = 1;', 'BEGIN;', 'DO $w$ a; $w$;', 'COMMIT;',
  ]); // prettier-ignore
});
