import { describe, expect, test } from 'vitest';
import { createdComment, type Marker, withMarker } from '../../../src/setup/marker.ts';
import { type IdleSlot, strayWarnings } from '../../../src/setup/stray-slots.ts';

const marker = {
  version: 1, slot: 'new_name', systemIdentifier: '7', databaseOid: 5, publicationOid: 9, createdLsn: '0/200',
  watchers: ['users:inserted'],
} as const; // prettier-ignore

function slot(more: Partial<IdleSlot> = {}, noted: Partial<Marker> = {}): IdleSlot {
  const name = more.name ?? 'old_name';
  return {
    name, publication: name, confirmed: '0/100', retained: 4096, long: false,
    comment: withMarker(createdComment, { ...marker, slot: name, createdLsn: '0/10', ...noted }), ...more,
  }; // prettier-ignore
}
const own = slot({ name: 'new_name', confirmed: '0/300' }, { createdLsn: '0/200' });
const told = (...idle: readonly IdleSlot[]) =>
  strayWarnings([own, ...idle], 'new_name', ['users:inserted', 'posts:deleted']);

test('a slot with an earlier name is reported with the SQL that drops it and its publication, and with the WAL that it keeps', () => {
  expect(told(slot())).toMatchObject([
    {
      code: 'STRAY_SLOT',
      message: expect.stringMatching(/'old_name'.*'new_name'.*4096 bytes/),
      solution: expect.stringContaining(
        `SELECT pg_catalog.pg_drop_replication_slot('old_name'); DROP PUBLICATION IF EXISTS "old_name";`,
      ),
    },
  ]);
});

describe('the publication is not dropped', () => {
  const old = { ...marker, slot: 'old_name', createdLsn: '0/10' };
  test.each([
    [
      'if this worker uses it now, under another name',
      { publication: 'app', comment: withMarker(createdComment, old) },
    ],
    [
      'if another slot uses it too',
      { comment: withMarker(withMarker(createdComment, old), { ...old, slot: 'third' }) },
    ],
    ['if walwatch did not create it', { comment: withMarker('made by hand', old) }],
  ])('%s', (_, more) => {
    const ours = { ...own, publication: 'app' };
    const [warning] = strayWarnings([ours, slot(more)], 'new_name', ['users:inserted']);
    expect(warning!.solution).toContain("pg_drop_replication_slot('old_name');");
    expect(warning!.solution).not.toContain('DROP PUBLICATION');
  });
});

describe('a slot of another application is not reported', () => {
  test.each([
    ['its watchers differ', {}, { watchers: ['users:inserted', 'orders:updated'] }],
    ['no worker has stored its watchers', {}, { watchers: [] }],
    [
      "it has moved since this worker's slot was created, so that its worker is only stopped",
      { confirmed: '0/201' },
      {},
    ],
    ['it is being created', { confirmed: null }, {}],
    ['its comment was copied with the database', {}, { databaseOid: 6 }],
    ['its comment belongs to another server', {}, { systemIdentifier: '8' }],
    ['it is not in the comment', { comment: 'the slot old_name' }, {}],
  ] satisfies [string, Partial<IdleSlot>, Partial<Marker>][])('if %s', (_, more, noted) => {
    expect(told(slot(more, noted))).toEqual([]);
  });

  test('unless no worker has read it for a day: it was renamed while both versions ran', () => {
    expect(told(slot({ confirmed: '0/201', long: true }))).toHaveLength(1);
  });

  test("if this worker's own slot is unknown", () => {
    expect(strayWarnings([slot()], 'new_name', ['users:inserted'])).toEqual([]);
  });
});
