import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Audience } from '../../../src/sse/audience.ts';
import { CatchUp } from '../../../src/sse/catch-up.ts';
import type { Change } from '../../../src/sse/change.ts';
import { criterion, FilterColumns, isMeant, type Values, type Wish } from '../../../src/sse/criterion.ts';
import { History } from '../../../src/sse/history.ts';
import { Trails } from '../../../src/sse/trails.ts';

const traits = (columns: FilterColumns, values: object, previous: object = {}) => ({
  now: columns.textsOf(values as Values),
  before: columns.textsOf(previous as Values),
});
const change = (eventId: string, size = 0, columns = new FilterColumns(), values = {}, previous = {}): Change => ({
  eventId, body: new Uint8Array(size), ...traits(columns, values, previous),
}); // prettier-ignore

test.each([
  [{ id: '42' }, { id: 42 }, true],
  [{ id: 42 }, { id: '42' }, true],
  [{ id: 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11' }, { id: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' }, true],
  [{ id: 'A' }, { id: 'a' }, false],
  [{ role_id: null }, { role_id: null }, true],
  [{ role_id: 'null' }, { role_id: null }, false],
  [{ at: '1970-01-01T00:00:00.000Z' }, { at: new Date(0) }, true],
  [{ ok: true }, { ok: true }, true],
  [{ a: 1, b: 2 }, { b: 2, a: 1, c: 3 }, true],
  [{ a: 1, b: 2 }, { a: 1, b: 3 }, false],
  [{ a: 1, b: '2;' }, { a: '1', b: '2;' }, true],
  [{ a: 1, b: 2 }, { a: 1 }, 'unknown'],
  [{ a: 1, b: 2 }, { a: 3 }, false],
])('%j and the row %j: %s', (filter, row, meant) => {
  const columns = new FilterColumns();
  const wish = columns.wish(criterion(filter));
  expect(isMeant(traits(columns, row), wish)).toBe(meant);
});

test('a bigint of a row equals the same number as text', () => {
  const columns = new FilterColumns();
  const wish = columns.wish(criterion({ id: '9007199254740993' }));
  expect(isMeant(traits(columns, { id: 9007199254740993n }), wish)).toBe(true);
});

const value = fc.constantFrom(1, '1', 2, null, true, undefined);
const row = fc.record({ a: value, b: value });
const filter = fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom(1, '1', 2, null, true), { minKeys: 0 });
const wishOf = (columns: FilterColumns, given: Values) =>
  Object.keys(given).length === 0 ? undefined : columns.wish(criterion(given));

/** The expected result of `isMeant`, computed from the rows. */
function meantBy(given: Values, values: Values, previous: Values): boolean | 'unknown' {
  const pairs = (some: Values) => Object.keys(given).map((column) => [some[column], given[column]] as const);
  const equal = (is: unknown, wanted: unknown) => is === wanted || (is === 1 && wanted === '1') || (is === '1' && wanted === 1); // prettier-ignore
  const all = (some: Values) => pairs(some).every(([is, wanted]) => is !== undefined && equal(is, wanted));
  if (all(values) || all(previous)) return true;
  return pairs(values).every(([is, wanted]) => is === undefined || equal(is, wanted)) ? 'unknown' : false;
}

test('a live client is meant by just the changes whose new or old values match its filter', () => {
  fc.assert(
    fc.property(fc.array(filter, { maxLength: 8 }), row, row, fc.array(fc.nat(7)), (given, values, previous, gone) => {
      const columns = new FilterColumns();
      const audience = new Audience<{ wish: Wish | undefined; given: Values }>();
      const members = given.map((one) => ({ given: one, wish: wishOf(columns, one) }));
      for (const member of members) audience.add(member);
      const left = members.filter((_, index) => !gone.includes(index));
      for (const member of members) if (!left.includes(member)) audience.remove(member);
      const found = new Map<object, boolean | 'unknown'>();
      audience.find(traits(columns, values, previous), (member, certain) => {
        expect(found.has(member)).toBe(false);
        found.set(member, certain || 'unknown');
      });
      expect(members.map((member) => found.get(member) ?? false)).toEqual(
        members.map((member) => left.includes(member) && meantBy(member.given, values, previous)),
      );
    }),
  );
});

test('a client that comes back gets what it would have got live, whatever else happened and was forgotten', () => {
  fc.assert(
    fc.property(
      fc.array(filter, { minLength: 1, maxLength: 5 }),
      fc.array(fc.tuple(row, row), { maxLength: 20 }),
      fc.array(fc.nat(25), { minLength: 5, maxLength: 5 }),
      fc.integer({ min: 5, max: 30 }),
      (given, rows, froms, limit) => {
        const columns = new FilterColumns();
        const wishes = given.map((one) => wishOf(columns, one));
        const trails = new Trails();
        const history = new History(limit, 1e9);
        for (const [at, [values, previous]] of rows.entries())
          history.add(change(`0/${at.toString(16)}/0`, 0, columns, values, previous), trails);
        const returning = wishes.map((wish, index) => ({ index, wish, trails, from: Math.min(froms[index]!, history.next) })); // prettier-ignore
        const least = Math.min(...returning.map(({ from }) => from));
        // Number 0 is the mark that a history begins with.
        const wanted = rows.map(([values, previous], at) =>
          returning.map(({ from, index }) => at + 1 >= from && meantBy(given[index]!, values, previous)),
        );
        const unsure = wanted.some((verdicts) => verdicts.includes('unknown'));
        const missed = new CatchUp(history, returning, 1e9);
        const { done, value: known } = missed.run().next();
        expect(done).toBe(true);
        expect(known).toBe(history.first <= least && !unsure);
        if (!known) return;
        const indexes = wanted.map((verdicts) => verdicts.flatMap((meant, index) => (meant === true ? [index] : [])));
        const heads = [...missed.messages()].map((parts) => Buffer.concat(parts).toString());
        expect(heads).toEqual(
          indexes.flatMap((some, at) => (some.length === 0 ? [] : [`id: 0/${at.toString(16)}/0\ndata: {"for":[${some.join()}],`])), // prettier-ignore
        );
      },
    ),
    { numRuns: 1000 },
  );
});

test('a client that resumes from an id misses nothing after it, or learns that it cannot resume', () => {
  const step = fc.oneof(
    { weight: 20, arbitrary: fc.record({ id: fc.nat(30).map((n) => `0/${n.toString(16)}/0`), size: fc.nat(5000) }) },
    { weight: 1, arbitrary: fc.constant('cut' as const) },
  );
  fc.assert(
    fc.property(fc.nat(6), fc.nat(20_000), fc.array(step, { maxLength: 60 }), (limit, bytes, steps) => {
      const history = new History(limit, bytes);
      const trails = new Trails();
      /** The numbers of the changes, found by their bytes, which are unique. */
      const names = new Map<Uint8Array, number>();
      const since = (number: number) =>
        [...history.back(trails.all, number)].map(([, one]) => names.get(one.body)!).toReversed();
      let all: number[] = [];
      const sizes: number[] = [];
      /** Ids that a client may have, and the number of changes before it got them. */
      let known: (readonly [id: string, seen: number])[] = [[history.position, 0]];
      const dead: string[] = [];
      for (const one of steps) {
        if (one === 'cut') {
          history.cut();
          dead.push(...known.map(([id]) => id).filter((id) => id.startsWith('start/')));
          all = [];
          known = [];
        } else {
          const added = change(one.id, one.size);
          names.set(added.body, names.size);
          history.add(added, trails);
          all.push(names.size - 1);
          sizes.push(one.size);
        }
        known.push([history.position, all.length]);
        const kept = since(0);
        expect(kept.length).toBeLessThanOrEqual(limit);
        expect(kept.reduce((sum, name) => sum + sizes[name]!, 0)).toBeLessThanOrEqual(bytes);
        expect(kept).toEqual(kept.length === 0 ? [] : all.slice(-kept.length));
        for (const [id, seen] of known) {
          const from = history.after(id);
          if (from === undefined) continue;
          const missed = since(from);
          const latest = all.slice(seen);
          expect(latest.length === 0 ? [] : missed.slice(-latest.length)).toEqual(latest);
        }
        for (const id of dead) expect(history.after(id)).toBeUndefined();
      }
    }),
    { numRuns: 500 },
  );
});

test('with a large enough buffer a client can resume from every id in it', () => {
  const history = new History(10, 10_000);
  const start = history.position;
  for (const id of ['0/A/0', '0/A/1', '0/A/1', '0/B/0']) history.add(change(id), new Trails());
  expect([start, '0/A/0', '0/A/1', '0/B/0', '0/C/0'].map((id) => history.after(id))).toEqual([1, 2, 3, 5, undefined]);
});

test('a dropped change leaves nothing behind in the indexes', () => {
  const columns = new FilterColumns();
  const wish = columns.wish(criterion({ id: 1 }));
  const history = new History(2, 1e9);
  const trails = new Trails();
  for (const id of [1, 2, 3]) history.add(change(`0/${id}/0`, 0, columns, { id }), trails);
  expect(trails.for(wish)).toEqual([]);
  expect(trails.all.count).toBe(2);
});
