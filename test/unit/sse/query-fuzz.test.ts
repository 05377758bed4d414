import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sse } from '../../../src/sse/index.ts';
import { BadRequest, readQuery } from '../../../src/sse/query.ts';
import { fakeWatch } from '../../support/fake-watch.ts';

const urlOf = (query: string) => `http://localhost/live?${query}`;
const queryOf = (watch: unknown) => urlOf(`watch=${encodeURIComponent(JSON.stringify(watch))}`);

const scalar = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }).map((value) => value + 0), // JSON has no -0
  fc.boolean(),
);
const columns = fc.dictionary(fc.string(), fc.oneof(scalar, fc.constant(null)));
const entry = fc.oneof(
  fc.tuple(fc.string()),
  fc.tuple(fc.string(), fc.oneof(scalar, columns)),
  fc.tuple(fc.string(), fc.oneof(scalar, columns, fc.constant(null)), fc.string()),
);

test('every list of subscriptions is read as it was written', { timeout: 30_000 }, () => {
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 5 }), (watch) => {
      const url = queryOf(watch);
      fc.pre(url.length < 16_000);
      expect(readQuery(url, 100)).toEqual({
        refused: [],
        asked: JSON.parse(JSON.stringify(watch)).map(([watcher, filter = null, after]: unknown[], index: number) => ({
          index,
          watcher,
          filter: filter ?? undefined,
          after,
        })),
      });
    }),
  );
});

test('any other text is a BadRequest, never another error', { timeout: 30_000 }, () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json().map((json) => `watch=${json}`),
    fc.json().map((json) => `watch=${encodeURIComponent(json)}`),
    fc.string().map((some) => `watch=%${some}`),
    fc.array(entry).map((watch) => `watch=${encodeURIComponent(JSON.stringify(watch)).slice(0, -1)}`),
  );
  fc.assert(
    fc.property(text, (query) => {
      try {
        for (const { watcher, filter } of readQuery(urlOf(query), 100).asked) {
          if (typeof watcher !== 'string') throw new TypeError('no name');
          if (Array.isArray(filter)) throw new TypeError('a list');
        }
      } catch (error) {
        expect(error).toBeInstanceOf(BadRequest);
        expect((error as Error).message).not.toBe('');
      }
    }),
    { numRuns: 2000 },
  );
});

test(
  'any request is answered with a stream of a declared watcher or a refusal, and does not crash the process',
  { timeout: 30_000 },
  async () => {
    const allowed: unknown[] = [];
    const fake = fakeWatch();
    const handler = sse(fake.watch, { authorize: (_, { watcher }) => allowed.push(watcher) > 0 });
    const name = fc.constantFrom(
      'users:updated',
      'users:inserted',
      'users:truncated',
      'lines:updated',
      '__proto__',
      'x',
    );
    const column = fc.constantFrom('id', 'name', 'role_id', 'password', '__proto__', 'order_id', 'line', 'constructor');
    const filter = fc.oneof(scalar, fc.dictionary(column, fc.oneof(scalar, fc.constant(null))), fc.jsonValue());
    const asked = fc.array(fc.tuple(name, filter, fc.string()), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(asked, fc.string(), async (watch, lastEventId) => {
        allowed.length = 0;
        const headers = new Headers();
        if (/^[\x21-\x7e]*$/.test(lastEventId)) headers.set('last-event-id', lastEventId);
        const response = await handler(new Request(queryOf(watch), { headers }));
        expect([200, 400]).toContain(response.status);
        if (response.status === 400) expect((await response.text()).trim()).not.toBe('');
        else await response.body!.cancel();
        if (response.status === 400) expect(allowed).toEqual([]);
      }),
      { numRuns: 500 },
    );
  },
);

test.each([
  ['', `the parameter 'watch' is missing`],
  ['watch=[["a"]]&watch=[["a"]]', `occurs 2 times`],
  [`watch=${'x'.repeat(20_000)}`, 'longer than 16384 characters'],
  ['watch=[', 'is not JSON'],
  ['watch={}', 'must be a list of one or more subscriptions'],
  ['watch=[]', 'one or more'],
])('%.40s: %s', (query, reason) => {
  expect(() => readQuery(urlOf(query), 100)).toThrow(reason);
});

test.each([
  [`watch=${JSON.stringify(Array.from({ length: 101 }, () => ['a']))}`, 'at most 100 subscriptions'],
  ['watch=["a"]', 'entry 0: not [watcher, filter?, after?]'],
  ['watch=[[1]]', 'the watcher is not a string'],
  ['watch=[["a",[1]]]', 'the filter is a list'],
  ['watch=[["a",{"b":{}}]]', 'not a string, number, boolean or null'],
  ['watch=[["a",9007199254740993]]', 'too large for JSON: send it as a string'],
  ['watch=[["a",{"b":1e999}]]', 'too large for JSON'],
  ['watch=[["a",1,2]]', `'after' must be a string, the id of an event`],
])('%.40s: only this entry is refused: %s', (query, reason) => {
  const { asked, refused } = readQuery(urlOf(query.replace('watch=[', 'watch=[["first"],')), 101);
  expect(refused.at(-1)!.reason).toContain(reason.replace('entry 0', 'entry 1').replace('100', '101'));
  expect(asked[0]).toMatchObject({ index: 0, watcher: 'first' });
});
