/** Only what emit() writes is a message; other bytes are an error with a code. */
import { expect, test } from 'vitest';
import { parseOutboxMessage } from '../../../src/changes/outbox-message.ts';
import { WatchError } from '../../../src/errors.ts';

const parse = (content: string | Buffer) => parseOutboxMessage('order.placed', Buffer.from(content as string));

test('a message has name, value and key', () => {
  expect(parse('{"key":"7","value":{"id":7}}')).toEqual({ name: 'order.placed', key: '7', value: { id: 7 } });
  expect(parse('{"value":null}')).toEqual({ name: 'order.placed', key: undefined, value: null });
});

test('fields that a later version may add are ignored', () => {
  expect(parse('{"value":1,"key":"","schema":2}')).toEqual({ name: 'order.placed', key: '', value: 1 });
});

test.each<[string, string | Buffer, RegExp]>([
  ['nothing', '', /not JSON in UTF-8: ""/],
  ['text', 'hello', /not JSON in UTF-8: "hello"/],
  ['half of a message', '{"value":', /not JSON in UTF-8/],
  ['two messages', '{"value":1}{"value":2}', /not JSON in UTF-8/],
  ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22]), /not JSON in UTF-8/],
  ['a byte order mark', '\ufeff{"value":1}', /not JSON in UTF-8/],
  ['JSON that is no object', '7', /no "value": "7"/],
  ['null', 'null', /no "value": "null"/],
  ['an array', '[{"value":1}]', /no "value"/],
  ['no value', '{"key":"7"}', /no "value"/],
  ['a value only by its prototype', '{"__proto__":{"value":1}}', /no "value"/],
  ['a key that is no string', '{"key":7,"value":1}', /"key" is not a string: "{/],
  ['a key that is null', '{"key":null,"value":1}', /"key" is not a string: "{/],
])('%s is refused', (_, content, message) => {
  const error = thrownBy(() => parse(content));
  expect(error).toBeInstanceOf(WatchError);
  expect(error).toMatchObject({
    code: 'MESSAGE_INVALID',
    message: expect.stringMatching(message),
    solution: expect.stringContaining('"walwatch:message:order.placed"'),
  });
});

test('a long content is shown by its beginning and its length', () => {
  const error = thrownBy(() => parse('x'.repeat(5_000))) as WatchError;
  expect(error.message).toMatch(/"x{100}" … \(5000 bytes\)$/);
});

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}
