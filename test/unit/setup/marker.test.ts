import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createdComment,
  isMadeByWalwatch,
  type Marker,
  parseComment,
  withMarker,
  withoutMarker,
} from '../../../src/setup/marker.ts';

const marker: Marker = {
  version: 1,
  slot: 'accounts_worker',
  systemIdentifier: '7300000000000000001',
  databaseOid: 16_384,
  publicationOid: 16_400,
  createdLsn: '0/1530000',
};
const slotNames = fc.stringMatching(/^[a-z0-9_]{1,63}$/);

test('a comment has one marker per slot, and parsing returns all of them', () => {
  const other = { ...marker, slot: 'mail_worker', createdLsn: '0/2' };
  const comment = withMarker(withMarker(null, marker), other);
  expect(parseComment(comment)).toEqual({ text: '', created: false, markers: [marker, other] });
});

test('a comment without other text begins with its marker', () => {
  expect(withMarker(null, marker)).toMatch(/^walwatch: /);
});

test('a newer marker of a slot replaces the older one', () => {
  const newer = { ...marker, createdLsn: '1/0' };
  expect(parseComment(withMarker(withMarker(null, marker), newer)).markers).toEqual([newer]);
});

test("the user's own comment is kept", () => {
  const comment = withMarker(withMarker('feeds the cache\nask Ann', marker), { ...marker, slot: 'b' });
  expect(comment.startsWith('feeds the cache\nask Ann\n')).toBe(true);
  expect(parseComment(comment).text).toBe('feeds the cache\nask Ann');
});

test('any text of the user and any markers are found again', () => {
  fc.assert(
    fc.property(fc.string(), fc.uniqueArray(slotNames, { minLength: 1 }), (text, slots) => {
      let comment: string | null = text;
      for (const slot of slots) comment = withMarker(comment, { ...marker, slot });
      expect(parseComment(comment)).toEqual({
        text,
        created: false,
        markers: slots.map((slot) => ({ ...marker, slot })),
      });
    }),
  );
});

test('text that only resembles a marker belongs to the user', () => {
  const broken: readonly unknown[] = [
    { ...marker, version: 2 },
    { ...marker, slot: 1 },
    { ...marker, systemIdentifier: 1 },
    { ...marker, databaseOid: '1' },
    { ...marker, publicationOid: null },
    { ...marker, createdLsn: undefined },
    null,
    [],
  ];
  for (const text of [
    'walwatch: {',
    `walwatsh: ${JSON.stringify(marker)}`,
    ...broken.map((value) => `walwatch: ${JSON.stringify(value)}`),
  ])
    expect(parseComment(text)).toEqual({ text, markers: [] });
});

test('an empty comment has no marker', () => {
  expect(parseComment(null)).toEqual({ text: '', markers: [] });
});

describe('walwatch owns a publication', () => {
  const names = { publication: 'accounts_worker', slot: 'accounts_worker' };
  const own = (comment: string | null, more = {}) => isMadeByWalwatch(parseComment(comment), { ...names, ...more });

  test('that it created, whoever else reads it and whatever its name is', () => {
    expect(own(createdComment)).toBe(true);
    expect(own(withMarker(withMarker(createdComment, marker), { ...marker, slot: 'b' }), { publication: 'x' })).toBe(
      true,
    );
    expect(own(withoutMarker(withMarker(createdComment, marker), marker.slot))).toBe(true);
  });

  test('but never one that existed before the first slot', () => {
    expect(own(null)).toBe(false);
    const noted = withMarker('made by the DBA', marker);
    expect(own(noted)).toBe(false);
    expect(own(withoutMarker(noted, marker.slot))).toBe(false);
  });

  test("of an older version that did not store this, if it has the slot's name and no other slot uses it", () => {
    const older = `walwatch: ${JSON.stringify(marker)}`;
    expect(own(older)).toBe(true);
    expect(own(older, { publication: 'app' })).toBe(false);
    expect(own(older, { slot: 'b' })).toBe(false);
    expect(own(withMarker(older, { ...marker, slot: 'b' }))).toBe(false);
    // A newer marker of the same slot makes no difference.
    expect(own(withMarker(older, { ...marker, gap: { reason: 'dropped' } }))).toBe(true);
  });
});
