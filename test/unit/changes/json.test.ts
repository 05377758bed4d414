/** A value that JSON would lose, change or refuse is reported with its place. */
import { createContext, runInContext } from 'node:vm';
import { expect, test } from 'vitest';
import { isPlainObject, jsonIssues } from '../../../src/changes/json.ts';

class Order {
  total = 1;
}
class Money {
  toJSON() {
    return '1.00';
  }
}

test.each<[string, unknown, string]>([
  ['undefined', undefined, 'value is undefined'],
  ['undefined in an array', [1, undefined], 'value[1] is undefined'],
  // eslint-disable-next-line no-sparse-arrays
  ['a hole in an array', [1, , 2], 'value[1] is undefined'],
  ['a bigint', { items: [{ price: 1 }, { price: 12n }] }, 'value.items[1].price is a bigint (12n)'],
  ['NaN', { 'unit price': NaN }, 'value["unit price"] is NaN'],
  ['Infinity', -Infinity, 'value is -Infinity'],
  ['a function', { f() {} }, 'value.f is a function'],
  ['a symbol', { s: Symbol('x') }, 'value.s is a symbol'],
  ['a Date', { at: new Date(0) }, 'value.at is a Date'],
  ['a Buffer', [Buffer.from('x')], 'value[0] is a Buffer'],
  ['bytes', new Uint8Array(2), 'value is a Uint8Array'],
  ['an object with toJSON()', { total: new Money() }, 'value.total is a Money'],
  ['a plain object with toJSON()', { toJSON: () => 1 }, 'value is an object with toJSON()'],
  ['an array with toJSON()', Object.assign([1], { toJSON: () => 1 }), 'value is an Array'],
  ['a Map', { m: new Map() }, 'value.m is a Map'],
  ['a Set', { m: new Set() }, 'value.m is a Set'],
  ['a promise that is not awaited', Promise.resolve(1), 'value is a Promise'],
  ['an error', { error: new TypeError('x') }, 'value.error is a TypeError'],
  ['an instance of a class', { order: new Order() }, 'value.order is an Order'],
  ['a boxed string', { name: new String('x') }, 'value.name is a String'],
])('%s', (_, value, message) => {
  const issues = jsonIssues(value, 'value');
  expect(issues.map((issue) => issue.message)).toEqual([message]);
  expect(issues[0]!.solution).toMatch(/\.$/);
});

test('all problems of a value are reported at once', () => {
  const value = { a: 1n, b: [undefined, { c: NaN }], d: new Date(0), e: 'fine' };
  expect(jsonIssues(value, 'value').map(({ message }) => message)).toEqual([
    'value.a is a bigint (1n)',
    'value.b[0] is undefined',
    'value.b[1].c is NaN',
    'value.d is a Date',
  ]);
});

test('a circular structure is reported with both ends', () => {
  const parent: Record<string, unknown> = { name: 'a' };
  parent['children'] = [{ parent }];
  expect(jsonIssues({ parent }, 'value')).toMatchObject([
    { message: 'value.parent.children[0].parent is circular: it is value.parent again' },
  ]);
  const self: unknown[] = [];
  self.push(self);
  expect(jsonIssues(self, 'value')).toMatchObject([{ message: 'value[0] is circular: it is value again' }]);
});

test('an object that occurs twice is not circular', () => {
  const address = { city: 'Graz' };
  expect(jsonIssues({ from: address, to: address }, 'value')).toEqual([]);
});

test('a structure that is too deep for JSON is reported, however deep it is', () => {
  let deep: unknown = 1;
  for (let depth = 0; depth < 100_000; depth++) deep = [deep];
  expect(jsonIssues(deep, 'value')).toMatchObject([
    { message: 'value: more than 500 objects and arrays inside each other' },
  ]);
});

test.each([
  [null],
  [''],
  [0],
  [false],
  [[]],
  [{}],
  [{ a: undefined }], // undefined for the reader, too
  [{ '': { __proto__: null, toString: 'x', constructor: 1 } }],
  [JSON.parse('{"__proto__":{"a":[1,"x",null,true]}}')],
  [Object.assign(Object.create(null), { a: 1 })],
  [runInContext('({ a: [1, { b: null }] })', createContext())], // another realm
])('%j is JSON', (value) => {
  expect(jsonIssues(value, 'value')).toEqual([]);
  expect(JSON.parse(JSON.stringify(value))).toEqual(value);
});

test('a plain object is one of any realm, and no array, class or primitive', () => {
  expect([{}, Object.create(null), runInContext('({})', createContext())].map(isPlainObject)).toEqual([
    true,
    true,
    true,
  ]);
  expect([[], null, 'x', new Map(), new Order(), () => {}].some(isPlainObject)).toBe(false);
});
