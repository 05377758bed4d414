/** No value stops tail, and every value reaches the terminal as plain text. */
import { describe, expect, test } from 'vitest';
import { jsonLine, textLine } from '../../../src/cli/event-line.ts';
import { lenientTypes } from '../../../src/cli/lenient-types.ts';
import { noAnnotations } from '../../../src/changes/annotations.ts';
import { widthOf } from '../../../src/cli/width.ts';
import type { EventContext } from '../../../src/types/delivery.ts';

const circular: Record<string, unknown> = {};
circular['self'] = circular;

const hostile: readonly (readonly [string, unknown])[] = [
  ['an invalid date', new Date(Number.NaN)],
  ['infinity', Infinity],
  ['no number', Number.NaN],
  ['a big number', 10n ** 400n],
  ['a value that contains itself', circular],
  ['a value that throws when it is written', { toJSON: () => { throw new Error('never'); } }],
  ['a value that throws when it is read', Object.defineProperty({}, 'a', { enumerable: true, get: () => { throw new Error('never'); } })],
  ['a value that throws on every access', new Proxy({}, { get: () => { throw new Error('never'); }, ownKeys: () => { throw new Error('never'); } })],
  ['escape sequences', '\u001b[2J\u009b31m\u202e\n'],
  ['half a character', '\ud800'],
  ['bytes', Buffer.from([0, 27, 255])],
  ['a symbol', Symbol('x')],
  ['nothing', undefined],
]; // prettier-ignore

const context = (more: Partial<EventContext> = {}) =>
  ({
    watcher: 'users:updated', type: 'updated', schema: 'public', table: 'users', eventId: '0/1/0', commitLsn: '0/1', xid: 1,
    committedAt: new Date(0), previous: {}, absent: [], ...more,
  }) as unknown as EventContext; // prettier-ignore

describe.each(hostile)('%s', (_, value) => {
  test('is written as text on one line, before and after', () => {
    const line = textLine({ id: 1, value }, context({ previous: { value: 1 } }), 200);
    expect(line).toContain('users:updated  id 1, value ');
    expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/); // oxlint-disable-line no-control-regex
  });

  test('is written as JSON', () => {
    expect(JSON.parse(jsonLine({ id: 1, value }, context({ previous: { value } })))).toMatchObject({
      event: { id: 1 },
    });
  });
});

test('annotations follow the values, and are missing where there are none', () => {
  const annotations = { actor: 'user:7', '\u001b[2J': { ids: [1] } };
  expect(textLine({ id: 1 }, context({ previous: { id: 2 }, annotations }), Infinity)).toMatch(
    /users:updated {2}id 1 {2}was id 2 {2}with actor "user:7", \\u001b\[2J \{ ids: \[ 1 \] \}$/,
  );
  expect(JSON.parse(jsonLine({ id: 1 }, context({ annotations })))).toMatchObject({ annotations });
  expect(textLine({ id: 1 }, context({ annotations: noAnnotations }), Infinity)).toMatch(/id 1$/);
  expect(JSON.parse(jsonLine({ id: 1 }, context({ annotations: noAnnotations })))).not.toHaveProperty('annotations');
  const long = textLine({ id: 1 }, context({ annotations: { actor: 'x'.repeat(500) } }), 60);
  expect(widthOf(long)).toBeLessThanOrEqual(60);
  expect(long).toContain('with actor "xx');
});

describe('in the columns of a terminal', () => {
  test('long values share the space, and short ones stay whole', () => {
    const line = textLine({ id: 42, bio: 'x'.repeat(500), note: 'y'.repeat(500) }, context(), 80);
    expect(line).toMatch(/^\d\d:\d\d:\d\d users:updated {2}id 42, bio "x+…, note "y+…$/);
    expect(widthOf(line)).toBeLessThanOrEqual(80);
    expect(widthOf(line)).toBeGreaterThan(75);
  });

  test('wide characters count twice', () => {
    const line = textLine({ id: 42, bio: '日本語'.repeat(50) }, context(), 60);
    expect(widthOf(line)).toBeLessThanOrEqual(60);
    expect(line.length).toBeLessThan(50);
  });

  test('a line with too many columns is cut at its end', () => {
    const event = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`column_${index}`, index]));
    const line = textLine(event, context(), 60);
    expect(widthOf(line)).toBeLessThanOrEqual(60);
    expect(line.endsWith('…')).toBe(true);
  });

  test('a line that fits is not changed', () => {
    expect(textLine({ id: 42, name: 'Ada' }, context({ previous: { name: 'Ida' } }), 80)).toMatch(
      /id 42, name "Ada" {2}was name "Ida"$/,
    );
  });
});

describe('parsers', () => {
  const timestamptz = 1184;
  const parse = (text: string, types?: Parameters<typeof lenientTypes>[0], oid = timestamptz): unknown =>
    (lenientTypes(types).getTypeParser(oid, 'text') as (text: string) => unknown)(text);

  test('keep PostgreSQL’s text for values that JavaScript does not have', () => {
    expect(parse('2026-11-26 06:00:00+00')).toEqual(new Date('2026-11-26T06:00:00Z'));
    expect(parse('294276-12-31 23:59:59.999999+00')).toBe('294276-12-31 23:59:59.999999+00');
    expect(parse('infinity')).toBe(Infinity);
    expect(parse('{"294276-12-31 00:00:00+00"}', undefined, 1185)).toBe('{"294276-12-31 00:00:00+00"}');
    expect(parse('{not json', undefined, 114)).toBe('{not json');
  });

  test('that throw do not stop tail', () => {
    const throwing = { getTypeParser: () => () => { throw new Error('never'); } } as never; // prettier-ignore
    expect(parse('2026-11-26', throwing)).toBe('2026-11-26');
  });
});
