import { describe, expect, test } from 'vitest';
import { Batch } from '../../../src/delivery/batch.ts';
import { Occurrence } from '../../../src/delivery/occurrence.ts';
import type { UpdateType } from '../../../src/types/watchers.ts';
import { changeOf, type Values } from '../../support/sample-changes.ts';
import { planFor, usersTable } from '../../support/sample-tables.ts';

const carried = { extraColumns: ['role_id', 'bio'] };
const plan = planFor(
  usersTable({ replicaIdentity: 'full' }),
  ['users', 'inserted', carried],
  ['users', 'updated', carried],
  ['users', 'updated', { label: 'renamed', extraColumns: ['email'] }],
  ['users', 'deleted'],
  ['users', 'truncated'],
);

type Sent = readonly [type: UpdateType, row: Values, old?: Values];

/** Which changes remain in one batch with `latest: true`, as `watcher: row`. */
function latestOf(...sent: readonly Sent[]): unknown[] {
  const parts = sent.flatMap(([type, row, old], ordinal) => {
    const change = changeOf(plan, type, { row, ...(old && { old }) }, { ordinal });
    return plan.watchers[type].map((planned) => new Occurrence(planned, change));
  });
  return new Batch(parts, true).delivered.map((part) => {
    const { planned, event } = part as Occurrence;
    return [planned.bound.watcher.name, { ...event }];
  });
}

const whole = { id: '1', role_id: '7', bio: 'long', email: 'a' };

describe('a batch of the newest changes of a row stream', () => {
  test('contains only the delete of a row that was inserted and deleted', () => {
    expect(latestOf(['inserted', whole], ['deleted', whole])).toEqual([['users:deleted', { id: 1 }]]);
  });

  test('keeps the newest change of each of its watchers', () => {
    expect(latestOf(['inserted', whole], ['updated', { ...whole, role_id: '8' }])).toEqual([
      ['users:updated', { id: 1, role_id: 8, bio: 'long' }],
      ['renamed', { id: 1, email: 'a' }],
    ]);
  });

  test('keeps the insert when it has a TOASTed value that the newest update lacks', () => {
    const { bio: _, ...without } = whole;
    expect(
      latestOf(
        ['inserted', whole],
        ['updated', { ...without, role_id: '8' }],
        ['updated', { ...without, role_id: '9', email: 'b' }],
      ),
    ).toEqual([
      ['users:inserted', { id: 1, role_id: 7, bio: 'long' }],
      ['users:updated', { id: 1, role_id: 9 }],
      ['renamed', { id: 1, email: 'b' }],
    ]);
  });

  test('treats old and new key as one record after an update of the key', () => {
    expect(
      latestOf(
        ['inserted', whole],
        ['updated', { ...whole, id: '2' }, whole],
        ['inserted', { ...whole, role_id: '9' }],
      ),
    ).toEqual([
      ['users:updated', { id: 2, role_id: 7, bio: 'long' }],
      ['renamed', { id: 2, email: 'a' }],
      ['users:inserted', { id: 1, role_id: 9, bio: 'long' }],
    ]);
  });

  test('keeps a truncate and the changes after it', () => {
    expect(latestOf(['inserted', whole], ['truncated', {}], ['inserted', whole])).toEqual([
      ['users:truncated', {}],
      ['users:inserted', { id: 1, role_id: 7, bio: 'long' }],
    ]);
  });
});
