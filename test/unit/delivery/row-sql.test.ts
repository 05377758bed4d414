import { describe, expect, test } from 'vitest';
import { Batch } from '../../../src/delivery/batch.ts';
import { Occurrence } from '../../../src/delivery/occurrence.ts';
import { letterSql, rowSql } from '../../../src/delivery/row-sql.ts';
import type { UpdateType } from '../../../src/types/watchers.ts';
import { table } from '../../../src/watchers/table.ts';
import { changeOf, transactionAt, type Values } from '../../support/sample-changes.ts';
import { planFor, usersTable } from '../../support/sample-tables.ts';

const users = usersTable({ schema: 'erp', replicaIdentity: 'full' });

function occurrence(type: UpdateType, row: Values, key: string[] = ['id']): Occurrence {
  const given = table()({ tableName: 'users', schema: 'erp', primaryKey: key });
  const columns = users.columns.map((one) => ({ ...one, notNull: true }));
  const plan = planFor({ ...users, columns, uniqueKeys: [key] }, [given, type]);
  return new Occurrence(plan.watchers[type][0]!, changeOf(plan, type, { row }, { transaction: transactionAt(0x10n) }));
}

describe('the SQL that shows the row of an event that fails', () => {
  test('finds the row by its key', () => {
    expect(rowSql(occurrence('updated', { id: '42' }))).toBe(`SELECT * FROM "erp"."users" WHERE "id" = '42';`);
  });

  test('leaves out a text key, which may be a session id or a token', () => {
    expect(rowSql(occurrence('inserted', { id: '42', email: 'secret' }, ['id', 'email']))).toBe(
      `SELECT * FROM "erp"."users" WHERE "id" = '42' AND "email" = $1;`,
    );
  });

  test('is missing for a deleted row, for a truncate, and without the key', () => {
    const all = [occurrence('deleted', { id: '1' }), occurrence('truncated', {}), occurrence('updated', {})];
    expect(all.map(rowSql)).toEqual([undefined, undefined, undefined]);
  });

  test('finds the rows of a batch, each once', () => {
    const parts = ['1', '2', '1'].map((id) => occurrence('updated', { id }));
    expect(rowSql(new Batch(parts, false))).toBe(`SELECT * FROM "erp"."users" WHERE ("id" = '1') OR ("id" = '2');`);
  });
});

test('a dead letter is found by slot, subscription and event', () => {
  const one = occurrence('deleted', { id: '1' });
  expect(letterSql('worker', `o'mailer`, one)).toBe(
    `SELECT * FROM walwatch.dead_letters WHERE slot = 'worker' AND subscription = 'o''mailer' AND event_id IN ('0/10/0');`,
  );
  expect(letterSql('worker', 'mailer', new Batch([one, one], false))).toContain(`IN ('0/10/0', '0/10/0')`);
});
