import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Audience } from '../../../src/sse/audience.ts';
import { type Change, isMeant } from '../../../src/sse/change.ts';
import { type Criterion, criterion } from '../../../src/sse/criterion.ts';
import { History } from '../../../src/sse/history.ts';

const change = (eventId: string, values: object = {}, previous: object = {}, body = ''): Change => ({
  watcher: 'users:updated', eventId, values: { ...values }, previous: { ...previous }, body,
}); // prettier-ignore

test.each([
  [{ id: '42' }, { id: 42 }, true],
  [{ id: 42 }, { id: '42' }, true],
  [{ id: 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11' }, { id: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' }, true],
  [{ id: 'A' }, { id: 'a' }, false],
  [{ role_id: null }, { role_id: null }, true],
  [{ role_id: 'null' }, { role_id: null }, false],
  [{ ok: true }, { ok: true }, true],
  [{ a: 1, b: 2 }, { b: 2, a: 1, c: 3 }, true],
  [{ a: 1, b: 2 }, { a: 1, b: 3 }, false],
  [{ a: 1, b: '2;' }, { a: '1', b: '2;' }, true],
])('%j and the row %j: %s', (filter, row, meant) => {
  expect(isMeant(change('1', row), criterion(filter))).toBe(meant);
});

test('a live client and one that comes back are meant by the same changes', () => {
  const value = fc.constantFrom(1, '1', 2, null, true, undefined);
  const row = fc.record({ a: value, b: value });
  const filter = fc
    .dictionary(fc.constantFrom('a', 'b'), fc.constantFrom(1, '1', 2, null, true), { minKeys: 0 })
    .map((given) => (Object.keys(given).length === 0 ? undefined : criterion(given)));
  fc.assert(
    fc.property(
      fc.array(filter, { maxLength: 8 }),
      row,
      row,
      fc.array(fc.nat(7)),
      (criteria, values, previous, gone) => {
        const audience = new Audience<{ criterion: Criterion | undefined }>();
        const members = criteria.map((one) => ({ criterion: one }));
        for (const member of members) audience.add(member);
        const left = members.filter((_, index) => !gone.includes(index));
        for (const member of members) if (!left.includes(member)) audience.remove(member);
        const found = new Map<object, boolean | 'unknown'>();
        const some = change('1', values, previous);
        audience.find(some, (member, certain) => {
          expect(found.has(member)).toBe(false);
          found.set(member, certain || 'unknown');
        });
        expect(left.map((member) => found.get(member) ?? false)).toEqual(
          left.map((member) => isMeant(some, member.criterion)),
        );
        expect(found.size).toBe(left.filter((member) => isMeant(some, member.criterion)).length);
      },
    ),
  );
});

test('whoever goes on from an id misses nothing that came after it, or is told that it cannot go on', () => {
  const step = fc.oneof(
    { weight: 20, arbitrary: fc.record({ id: fc.nat(30).map((n) => `0/${n.toString(16)}/0`), size: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.constant('cut' as const) },
  );
  fc.assert(
    fc.property(fc.nat(6), fc.nat(20), fc.array(step, { maxLength: 60 }), (limit, size, steps) => {
      const history = new History(limit, size);
      let all: Change[] = [];
      /** Ids that a client may have, and how many changes had gone by when it got them. */
      let known: (readonly [id: string, seen: number])[] = [[history.position, 0]];
      const dead: string[] = [];
      for (const one of steps) {
        if (one === 'cut') {
          history.cut();
          dead.push(...known.map(([id]) => id).filter((id) => id.startsWith('start/')));
          all = [];
          known = [];
        } else {
          const added = change(one.id, {}, {}, 'x'.repeat(one.size));
          history.add(added);
          all.push(added);
        }
        known.push([history.position, all.length]);
        const kept = [...history.since(0)].map(([, kept]) => kept);
        expect(kept.length).toBeLessThanOrEqual(limit);
        expect(kept.reduce((sum, { body }) => sum + body.length, 0)).toBeLessThanOrEqual(size);
        expect(kept).toEqual(kept.length === 0 ? [] : all.slice(-kept.length));
        for (const [id, seen] of known) {
          const from = history.after(id);
          if (from === undefined) continue;
          const missed = [...history.since(from)].map(([, missed]) => missed);
          const latest = all.slice(seen);
          expect(latest.length === 0 ? [] : missed.slice(-latest.length)).toEqual(latest);
        }
        for (const id of dead) expect(history.after(id)).toBeUndefined();
      }
    }),
    { numRuns: 500 },
  );
});

test('a buffer that is large enough does go on, from every id that it holds', () => {
  const history = new History(10, 1000);
  const start = history.position;
  for (const id of ['0/A/0', '0/A/1', '0/A/1', '0/B/0']) history.add(change(id));
  expect([start, '0/A/0', '0/A/1', '0/B/0', '0/C/0'].map((id) => history.after(id))).toEqual([1, 2, 3, 5, undefined]);
});
