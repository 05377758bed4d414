import { expect, test } from 'vitest';
import { fitting, type Letter } from '../../../src/delivery/letter.ts';

const letter = (event: Letter['event'], previous: Letter['event'] = {}): Letter => ({
  watcher: 'posts:updated',
  event,
  context: {
    commitLsn: '0/1', xid: 1, committedAt: '2026-01-01T00:00:00.000Z',
    change: { type: 'updated', schema: 'public', table: 'posts', ordinal: 0, previous, absent: [] },
  },
}); // prettier-ignore

test('a letter that fits is unchanged', () => {
  const given = letter({ id: '1', body: 'x'.repeat(5000), none: null });
  expect(fitting(given, 5000, 10_000)).toBe(given);
});

test('an oversized value keeps its beginning and states its length, in the previous values too', () => {
  const found = fitting(letter({ id: '1', body: 'x'.repeat(5001) }, { body: 'y'.repeat(2000) }), 5000, 10_000);
  expect(found.event).toEqual({ id: '1', body: 'x'.repeat(1000) });
  expect(found.context.change!.previous).toEqual({ body: 'y'.repeat(1000) });
  expect(found.context.shortened).toEqual({ body: 5001 });
});

test('among values that are oversized together, the longest are shortened, and only as far as needed', () => {
  const found = fitting(letter({ a: 'a'.repeat(3000), b: 'b'.repeat(4000), c: 'c'.repeat(2000) }), 5000, 6000);
  expect(found.context.shortened).toEqual({ b: 4000 });
  expect(found.event['a']).toHaveLength(3000);
});

test('a surrogate pair is not cut in half', () => {
  const found = fitting(letter({ a: `${'a'.repeat(999)}😀${'a'.repeat(5000)}` }), 5000, 10_000);
  expect(found.event['a']).toBe('a'.repeat(999));
});
