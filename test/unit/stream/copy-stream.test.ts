import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { ProtocolError } from '../../../src/errors.ts';
import { copying, framed, keepalive, turn, xLogData } from '../../support/copying.ts';
import { useFakeTime } from '../../support/fake-time.ts';

/** Each read is 10 ms after the last one, so none is delayed, unless a test sets another clock. */
let now: () => number;
useFakeTime({ toFake: ['setTimeout', 'clearTimeout'] });
beforeEach(() => {
  let time = 0;
  now = () => (time += 10);
  vi.spyOn(performance, 'now').mockImplementation(() => now());
});

const notice = framed('N', Buffer.from('hello'));
const done = framed('c', Buffer.alloc(0));
const all = Buffer.concat([
  xLogData(Buffer.from('one')), keepalive(0x1_0000_0001n, true), notice, xLogData(Buffer.alloc(0)),
  keepalive(5n, false), xLogData(Buffer.from('two')), done,
]); // prettier-ignore
const calls = [
  'message one', 'keepalive 4294967297 ?', `pg ${notice.toString('hex')}`, 'message ',
  'keepalive 5', 'message two', `pg ${done.toString('hex')}`,
]; // prettier-ignore

describe('the messages are the same when the bytes are cut', () => {
  test('nowhere', async () => {
    const { bring, told } = copying();
    await bring(all);
    expect(told).toEqual(calls);
  });

  test('into two, at each byte', async () => {
    for (let at = 1; at < all.length; at++) {
      const { bring, told } = copying();
      await bring(all.subarray(0, at), all.subarray(at));
      expect(told, `cut at ${at}`).toEqual(calls);
    }
  });

  test('after every byte', async () => {
    const { bring, told } = copying();
    await bring(...Array.from(all, (byte) => Buffer.from([byte])));
    expect(told).toEqual(calls);
  });

  test('anywhere, several times', async () => {
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: all.length - 1 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(cuts, async (places) => {
        const { bring, told } = copying();
        const edges = [0, ...places.toSorted((a, b) => a - b), all.length];
        await bring(...edges.slice(1).map((end, index) => all.subarray(edges[index], end)));
        expect(told).toEqual(calls);
      }),
      { numRuns: 200 },
    );
  });
});

test('a large message is assembled once, not again with each chunk', async () => {
  const { bring, told } = copying();
  const message = Buffer.concat([xLogData(Buffer.alloc(4_000_000, 'x')), keepalive(1n, false)]);
  const concat = vi.spyOn(Buffer, 'concat');
  for (let at = 0; at < message.length; at += 65_536) await bring(message.subarray(at, at + 65_536));
  expect(told).toEqual([`message ${'x'.repeat(4_000_000)}`, 'keepalive 1']);
  const copied = concat.mock.results.reduce((sum, { value }) => sum + (value as Buffer).length, 0);
  expect(copied).toBeLessThan(message.length * 1.5);
});

test('the memory of a large message is not kept for the start of the next', async () => {
  const { bring, told } = copying();
  const large = xLogData(Buffer.alloc(1_000_000, 'x'));
  const next = keepalive(7n, false);
  const concat = vi.spyOn(Buffer, 'concat');
  await bring(large.subarray(0, 500_000), Buffer.concat([large.subarray(500_000), next.subarray(0, 9)]));
  concat.mockClear();
  await bring(next.subarray(9));
  expect(told.at(-1)).toBe('keepalive 7');
  const [kept] = concat.mock.calls[0]![0] as readonly Buffer[];
  expect(kept!.buffer.byteLength).toBeLessThan(large.length);
});

describe('a large message that is delivered in pieces', () => {
  const type = 'I';
  const message = xLogData(Buffer.from(type + 'x'.repeat(1_100_000)));
  const follow = Buffer.concat([keepalive(1n, false), xLogData(Buffer.from('next'))]);

  test('arrives complete and in order wherever it is cut, and the messages after it are read as usual', async () => {
    for (const first of [1, 4, 5, 6, 29, 30, 31, 32, 500_000, message.length - 1]) {
      const { bring, told, onLarge } = copying();
      let taken = '';
      onLarge((letter, length) => {
        told.push(`large ${String.fromCharCode(letter)} ${length}`);
        return { write: (bytes, start, end) => void (taken += bytes.toString('latin1', start, end)) };
      });
      const all = Buffer.concat([message, follow]);
      const second = Math.max(first, 700_000);
      await bring(all.subarray(0, first), all.subarray(first, second), all.subarray(second));
      expect(told, `cut at ${first}`).toEqual([`large I 1100001`, 'keepalive 1', 'message next']);
      expect(taken).toBe(type + 'x'.repeat(1_100_000));
    }
  });

  test('is offered when its next piece has arrived, not while reading is paused by an earlier message', async () => {
    const { bring, told, copy, onLarge, onMessage } = copying();
    onMessage(() => copy.pause());
    onLarge(() => {
      told.push('large');
      return { write: () => {} };
    });
    await bring(
      Buffer.concat([xLogData(Buffer.from('one')), message.subarray(0, 1000)]),
      message.subarray(1000),
      follow,
    );
    expect(told).toEqual(['message one']);
    copy.resume();
    await turn();
    expect(told).toEqual(['message one', 'large', 'keepalive 1', 'message next']);
  });

  test('is offered once, and assembled when its receiver declines pieces', async () => {
    const { bring, told, onLarge } = copying();
    let asked = 0;
    onLarge(() => void asked++);
    for (let at = 0; at < message.length; at += 65_536) await bring(message.subarray(at, at + 65_536));
    await bring(follow);
    expect([asked, told[0]!.length, told.length]).toEqual([1, 'message '.length + 1_100_001, 3]);
  });

  test('does not exist among other message types: pg reads those', async () => {
    const { bring, told, onLarge } = copying();
    onLarge(() => ({ write: () => {} }));
    const rows = framed('D', Buffer.alloc(1_200_000, 'x'));
    await bring(rows.subarray(0, 600_000), rows.subarray(600_000));
    expect(told).toEqual([`pg ${rows.toString('hex')}`]);
  });
});

describe('invalid bytes end the connection with a ProtocolError', () => {
  const copyData = (text: string) => framed('d', Buffer.from(text, 'latin1'));
  test.each([
    ['a negative length', framed('d', Buffer.alloc(8), -1)],
    ['the smallest length there is', framed('d', Buffer.alloc(8), -(2 ** 31))],
    ['a length of 0', framed('d', Buffer.alloc(8), 0)],
    ['a length of 3', framed('N', Buffer.alloc(8), 3)],
    ['more than PostgreSQL can send', framed('d', Buffer.alloc(8), 0x4000_0001)],
    ['the largest length there is', framed('w', Buffer.alloc(8), 2 ** 31 - 1)],
    ['an unknown copy message', copyData('x'.repeat(40))],
    ['an empty copy message', Buffer.concat([copyData(''), keepalive(1n, false)])],
    ['a row without its header', copyData('w'.padEnd(24, '\0'))],
    ['a keepalive that is cut off', copyData('k'.padEnd(17, '\0'))],
  ])('%s', async (_, bytes) => {
    const { bring, told, errors, stream } = copying();
    await bring(keepalive(9n, false), bytes, keepalive(10n, false));
    expect(errors).toEqual([expect.any(ProtocolError)]);
    expect([told, stream.destroyed]).toEqual([['keepalive 9'], true]);
  });

  test('even while a message is assembled from pieces', async () => {
    const { bring, errors } = copying();
    await bring(...Array.from(framed('d', Buffer.alloc(8), 2), (byte) => Buffer.from([byte])));
    expect(errors).toEqual([expect.any(ProtocolError)]);
  });

  test('even after a pause, or after a delayed read', async () => {
    now = () => 0;
    const { bring, errors, told, copy } = copying();
    for (let count = 0; vi.getTimerCount() === 0; count++) {
      expect(count).toBeLessThan(100);
      await bring(keepalive(1n, false));
    }
    const before = told.length;
    await bring(framed('d', Buffer.alloc(8), 0));
    expect([errors, told.length]).toEqual([[], before]);
    vi.runOnlyPendingTimers();
    await turn();
    expect(errors).toEqual([expect.any(ProtocolError)]);
    copy.resume();
    await turn();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('an exception of a listener ends the connection and is not uncaught', async () => {
    const { bring, errors, onMessage } = copying();
    const broken = new Error('broken');
    onMessage(() => {
      throw broken;
    });
    await bring(all);
    expect(errors).toEqual([broken]);
  });
});
