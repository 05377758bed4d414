import { expect, test } from 'vitest';
import { ProtocolError } from '../../../../src/errors.ts';
import { Reader } from '../../../../src/postgres/pgoutput/reader.ts';

const reads: Readonly<Record<string, readonly [read: (reader: Reader) => unknown, bytes: number[], value: unknown]>> = {
  byte: [(reader) => reader.byte(), [0xff], 0xff],
  uint16: [(reader) => reader.uint16(), [0xff, 0xfe], 0xfffe],
  uint32: [(reader) => reader.uint32(), [0xff, 0xfe, 0xfd, 0xfc], 0xfffefdfc],
  uint64: [(reader) => reader.uint64(), [0xff, 0, 0, 0, 0, 0, 0, 1], 0xff00_0000_0000_0001n],
  int64: [(reader) => reader.int64(), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], -2n],
  string: [(reader) => reader.string(), [0xc3, 0xa4, 0x62, 0], 'äb'],
  text: [(reader) => reader.text(3), [0xc3, 0xa4, 0], 'ä\0'],
  copy: [(reader) => reader.copy(2), [1, 2], Buffer.from([1, 2])],
  skip: [(reader) => reader.skip(2), [1, 2], undefined],
};

test.each(Object.entries(reads))('%s reads exactly its bytes', (_, [read, bytes, value]) => {
  const reader = new Reader();
  reader.open(Buffer.from([...bytes, 9]));
  expect(read(reader)).toEqual(value);
  expect(reader.offset).toBe(bytes.length);
});

test.each(Object.entries(reads))('%s never reads outside the message', (_, [read, bytes]) => {
  const reader = new Reader();
  // A view into a larger buffer, as pg-protocol passes it: there are more bytes after its end.
  const within = Buffer.from([...bytes, 0, 0, 0, 0, 0, 0, 0, 0]);
  for (let length = 0; length < bytes.length; length++) {
    reader.open(within.subarray(0, length));
    expect(() => read(reader)).toThrow(ProtocolError);
  }
});

test('nor after its end when some bytes were read already', () => {
  const reader = new Reader();
  for (const [read] of Object.values(reads)) {
    reader.open(Buffer.from([1]));
    reader.skip(1);
    expect(() => read(reader)).toThrow(ProtocolError);
  }
  reader.open(Buffer.from([1, 2, 3, 4, 5]));
  reader.skip(2);
  expect(() => reader.uint32()).toThrow('4 bytes expected, 3 left');
});

test('a copy does not change when pg-protocol reuses the buffer', () => {
  const bytes = Buffer.from([1, 2, 3]);
  const reader = new Reader();
  reader.open(bytes);
  const copy = reader.copy(3);
  bytes.fill(9);
  expect(copy).toEqual(Buffer.from([1, 2, 3]));
});

test('unread bytes at the end of a message are an error', () => {
  const reader = new Reader();
  reader.open(Buffer.from([0x49, 2, 3]));
  reader.byte();
  expect(() => reader.end()).toThrow('2 bytes too many');
  reader.skip(2);
  expect(() => reader.end()).not.toThrow();
});

test('a failure names the message type and the offset', () => {
  const reader = new Reader();
  reader.open(Buffer.from('Ix'));
  reader.byte();
  const failure = expect.objectContaining({ code: 'PROTOCOL', messageType: 'I', offset: 1 });
  expect(() => reader.uint32()).toThrow(failure);
  expect(() => reader.uint32()).toThrow('4 bytes expected, 1 left');
});

test('an empty message has no type', () => {
  const reader = new Reader();
  reader.open(Buffer.alloc(0));
  expect(() => reader.byte()).toThrow(expect.objectContaining({ messageType: '', offset: 0 }));
});

test('each message is read from its own start', () => {
  const reader = new Reader();
  reader.open(Buffer.from([1, 2]));
  reader.byte();
  reader.open(Buffer.from([3]));
  expect([reader.offset, reader.byte()]).toEqual([0, 3]);
});
