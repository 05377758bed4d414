import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { ProtocolError } from '../../../../src/errors.ts';
import { Decoder } from '../../../../src/postgres/pgoutput/decoder.ts';
import type { Message, Projection, Relation } from '../../../../src/postgres/pgoutput/messages.ts';
import { longestText, oversizedBytes } from '../../../../src/postgres/pgoutput/oversized.ts';
import * as encode from '../../../support/pgoutput-messages.ts';

const posts: Relation = {
  oid: 7, schema: 'public', name: 'posts', replicaIdentity: 'f',
  columns: ['id', 'body', 'note'].map((name) => ({ name, typeOid: 25, key: true })),
}; // prettier-ignore

function decoding(projection: Projection | undefined) {
  const decoder = new Decoder(
    () => projection,
    (prefix) => prefix === 'outbox',
  );
  decoder.decode(encode.relation(posts));
  return decoder;
}

/** Decodes a message that arrives in pieces. */
function inPieces(decoder: Decoder, bytes: Buffer, cuts: readonly number[]) {
  const large = decoder.large(bytes[0]!, bytes.length);
  const edges = [0, ...cuts.filter((at) => at < bytes.length).toSorted((a, b) => a - b), bytes.length];
  let message: Message | undefined;
  for (let index = 1; index < edges.length; index++)
    message = large.write(bytes, edges[index - 1]!, edges[index]!) ?? message;
  return { message, kept: large.kept };
}

const row = ['1', 'ä'.repeat(300), null] as const;
const messages = [
  encode.insert(posts.oid, row),
  encode.insert(posts.oid, ['', undefined, '']),
  encode.update(posts.oid, row, ['O', ['1', 'old', 'y']]),
  encode.update(posts.oid, row, ['K', ['1', null, null]]),
  encode.update(posts.oid, row),
  encode.deletion(posts.oid, ['K', ['1', null, null]]),
  encode.deletion(posts.oid, ['O', row]),
  encode.logicalMessage(true, 5n, 'outbox', Buffer.from('x'.repeat(100))),
  encode.logicalMessage(false, 5n, 'outbox', Buffer.alloc(0)),
  encode.logicalMessage(false, 5n, 'nobody', Buffer.from('x'.repeat(100))),
  encode.truncate([posts.oid, posts.oid]),
  encode.relation(posts),
  encode.begin(1n, 0, 7),
  encode.commit(1n, 2n),
];

test('a message that arrives in pieces decodes to the same as in one piece, wherever it is cut and whichever columns are needed', () => {
  const projection = fc.constantFrom<Projection | undefined>(undefined, { wanted: [] }, { wanted: [0, 2] }, { wanted: [1] }, { wanted: [0, 1, 2], unsure: new Set([1]) }); // prettier-ignore
  const cuts = fc.array(fc.integer({ min: 1, max: 900 }), { maxLength: 6 });
  fc.assert(
    fc.property(fc.constantFrom(...messages), projection, cuts, (bytes, projected, places) => {
      const { message } = inPieces(decoding(projected), bytes, places);
      expect(message).toEqual(decoding(projected).decode(bytes));
    }),
    { numRuns: 2000 },
  );
});

test('the same byte by byte; an end that comes too early or too late is refused', () => {
  for (const bytes of messages) {
    const all = Array.from(bytes, (_, at) => at);
    expect(inPieces(decoding({ wanted: [0, 1] }), bytes, all).message).toEqual(
      decoding({ wanted: [0, 1] }).decode(bytes),
    );
    for (const wrong of [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.from('x')])]) {
      if (bytes[0] === 0x4d) continue; // the end of a skipped message is not checked
      expect(() => inPieces(decoding({ wanted: [0, 1] }), wrong, all)).toThrow(ProtocolError);
    }
  }
});

test('unneeded parts are never assembled: a message, a row of a table, a value', () => {
  const body = 'x'.repeat(5_000_000);
  const pieces = Array.from({ length: 80 }, (_, index) => index * 65_536);
  const given = [
    [undefined, encode.insert(posts.oid, ['1', body, 'n'])],
    [{ wanted: [0, 2] }, encode.update(posts.oid, ['1', body, 'n'], ['O', ['1', body, 'o']])],
    [undefined, encode.logicalMessage(false, 5n, 'nobody', Buffer.from(body))],
    // A prefix without a subscription may be as long as a content.
    [undefined, encode.logicalMessage(false, 5n, body, Buffer.alloc(0))],
  ] as const;
  const copied = vi.spyOn(Buffer, 'allocUnsafe');
  const unwanted = given.map(([projection, bytes]) => inPieces(decoding(projection), bytes, pieces));
  const sizes = copied.mock.calls.map(([size]) => size);
  copied.mockRestore();
  expect(Math.max(...sizes)).toBeLessThan(10_000);
  for (const { kept } of unwanted) expect(kept).toBeLessThan(70_000);
  expect(unwanted[1]!.message).toMatchObject({ new: ['1', 'n'], old: ['1', 'o'] });
  expect(unwanted[2]!.message).toMatchObject({ prefix: 'nobody', lsn: 5n, transactional: false, content: undefined });
  expect(unwanted[3]!.message).toMatchObject({ lsn: 5n, content: undefined });
});

test('a value that is too long for a JavaScript string is left out, its size is known, and the rest is decoded', () => {
  const decoder = decoding({ wanted: [0, 1, 2] });
  const size = longestText + 1;
  const head = Buffer.concat([encode.insert(posts.oid, ['1', '', 'n']).subarray(0, 14), Buffer.from('t')]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(size);
  const tail = Buffer.from('t\0\0\0\x01n', 'latin1');
  const large = decoder.large(0x49, head.length + 4 + size + tail.length);
  large.write(head, 0, head.length);
  large.write(length, 0, 4);
  const piece = Buffer.alloc(1_000_000);
  let left = size;
  for (; left > piece.length; left -= piece.length) large.write(piece, 0, piece.length);
  large.write(piece, 0, left);
  const message = large.write(tail, 0, tail.length);
  expect(message).toMatchObject({ tag: 'insert', new: ['1', undefined, 'n'] });
  const row = (message as { new: readonly (string | undefined)[] }).new;
  expect([0, 1, 2].map((slot) => oversizedBytes(row, slot))).toEqual([undefined, size, undefined]);
  expect(large.kept).toBeLessThan(1000);
});

test('memory is allocated only for what fits into the message', () => {
  const bytes = Buffer.from(encode.insert(posts.oid, ['1', 'abc', 'n']));
  bytes.writeUInt32BE(0x7fff_ffff, 15);
  expect(() => inPieces(decoding({ wanted: [0, 1, 2] }), bytes, [])).toThrow(/2147483647 bytes expected, \d+ left/);
  expect(() => inPieces(decoding(undefined), encode.insert(8, ['1']), [])).toThrow('relation 8 was not described');
});
