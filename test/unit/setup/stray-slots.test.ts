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

test('a slot of an earlier name is told with the SQL that drops it and its publication, and what it costs', () => {
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

describe('a publication is not to be dropped', () => {
  const old = { ...marker, slot: 'old_name', createdLsn: '0/10' };
  test.each([
    ['ours now, under a name of its own', { publication: 'app', comment: withMarker(createdComment, old) }],
    ['that another slot uses too', { comment: withMarker(withMarker(createdComment, old), { ...old, slot: 'third' }) }],
    ['that walwatch did not make', { comment: withMarker('made by hand', old) }],
  ])('%s', (_, more) => {
    const ours = { ...own, publication: 'app' };
    const [warning] = strayWarnings([ours, slot(more)], 'new_name', ['users:inserted']);
    expect(warning!.solution).toContain("pg_drop_replication_slot('old_name');");
    expect(warning!.solution).not.toContain('DROP PUBLICATION');
  });
});

describe('a slot of another application is not called stray', () => {
  test.each([
    ['its watchers are others', {}, { watchers: ['users:inserted', 'orders:updated'] }],
    ['no worker has noted its watchers', {}, { watchers: [] }],
    ['it has moved since our own was made, so that its worker is only stopped', { confirmed: '0/201' }, {}],
    ['it is being made', { confirmed: null }, {}],
    ['its note was copied with the database', {}, { databaseOid: 6 }],
    ['its note is of another server', {}, { systemIdentifier: '8' }],
    ['it has no note', { comment: 'the slot old_name' }, {}],
  ] satisfies [string, Partial<IdleSlot>, Partial<Marker>][])('when %s', (_, more, noted) => {
    expect(told(slot(more, noted))).toEqual([]);
  });

  test('unless nobody has read it for a day: it was renamed while both versions ran', () => {
    expect(told(slot({ confirmed: '0/201', long: true }))).toHaveLength(1);
  });

  test('nor is any where nothing is known of our own', () => {
    expect(strayWarnings([slot()], 'new_name', ['users:inserted'])).toEqual([]);
  });
});
