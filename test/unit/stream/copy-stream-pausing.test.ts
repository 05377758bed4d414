import { beforeEach, describe, expect, test, vi } from 'vitest';
import { ReadPace } from '../../../src/stream/read-pace.ts';
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

describe('paused', () => {
  test('a paused stream reads no further chunk until it is resumed, and then all of them', async () => {
    const { bring, told, copy, onMessage } = copying();
    onMessage(() => copy.pause());
    await bring(xLogData(Buffer.from('one')), keepalive(1n, false), keepalive(2n, false));
    expect(told).toEqual(['message one']);
    copy.resume();
    await turn();
    expect(told).toEqual(['message one', 'keepalive 1', 'keepalive 2']);
  });

  test('pausing takes effect after the current message, even within a chunk: each message may take much memory', async () => {
    const { bring, told, copy, onMessage } = copying();
    onMessage(() => copy.pause());
    await bring(Buffer.concat([all, all]).subarray(0, -3));
    for (const end of [1, 4, 6, 8, 11, 13]) {
      expect(told).toEqual([...calls, ...calls].slice(0, end));
      copy.resume();
      await turn();
    }
    await bring(all.subarray(-3));
    expect(told).toEqual([...calls, ...calls]);
  });

  test('pausing in the middle of a message takes effect, and resuming continues there', async () => {
    const { bring, told, copy } = copying();
    await bring(all.subarray(0, 40));
    copy.pause();
    await bring(all.subarray(40));
    const before = told.length;
    expect(before).toBeLessThan(calls.length);
    copy.resume();
    await turn();
    expect(told).toEqual(calls);
  });

  test('resuming a stream that is not paused does nothing, and resuming within a message does not read recursively', async () => {
    const { bring, told, copy, onMessage } = copying();
    onMessage(() => {
      copy.pause();
      copy.resume();
    });
    copy.resume();
    await bring(all);
    expect(told).toEqual(calls);
  });
});

describe('while the server is catching up', () => {
  const catchUp = async () => {
    now = () => 0; // no break between the reads
    const one = copying();
    while (vi.getTimerCount() === 0) await one.bring(keepalive(1n, false));
    return one;
  };

  test('data collects until a timer has run, and is then read at once, in order', async () => {
    const { bring, told } = await catchUp();
    const before = told.length;
    expect(before).toBeGreaterThan(16);
    await bring(keepalive(2n, false), keepalive(3n, true));
    expect(told).toHaveLength(before);
    vi.advanceTimersByTime(1);
    expect(told.slice(before)).toEqual(['keepalive 2', 'keepalive 3 ?']);
  });

  test('reads of a Unix socket are never delayed: it holds too little, so the server would wait', async () => {
    now = () => 0;
    const { bring, told } = copying({});
    for (let count = 0; count < 1000; count++) await bring(keepalive(1n, false));
    expect(told).toHaveLength(1000);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('closing clears the timer, and nothing is read afterwards', async () => {
    const { bring, told, copy } = await catchUp();
    const before = told.length;
    copy.close();
    expect(vi.getTimerCount()).toBe(0);
    copy.pause();
    copy.resume();
    await bring(keepalive(2n, false));
    expect(told).toHaveLength(before);
  });

  test('a pause remains in effect when the timer runs', async () => {
    const { bring, told, copy } = await catchUp();
    copy.pause();
    await bring(keepalive(2n, false));
    vi.runOnlyPendingTimers();
    expect(told.at(-1)).toBe('keepalive 1');
    copy.resume();
    await turn();
    expect(told.at(-1)).toBe('keepalive 2');
  });
});

describe('data that arrives in one turn', () => {
  const inPieces = async () => {
    const one = copying();
    for (let at = 0; at < all.length; at += 10) {
      one.stream.push(all.subarray(at, at + 10));
      await new Promise<void>((resolve) => process.nextTick(resolve)); // Node reports each TLS record before it decrypts the next
    }
    await turn();
    return one;
  };

  test('is read together, as with TLS records that arrive one by one', async () => {
    const pace = vi.spyOn(ReadPace.prototype, 'pauseAfter');
    const { told } = await inPieces();
    expect(told).toEqual(calls);
    expect(pace.mock.calls.map(([bytes]) => bytes)).toEqual([all.length]);
  });

  test('leaves the limit of the stream unchanged: data collects in the socket, not in our memory', async () => {
    const { stream, bring } = copying();
    const limit = stream.readableHighWaterMark;
    await bring(xLogData(Buffer.alloc(2 * limit)));
    expect(stream.readableHighWaterMark).toBe(limit);
  });
});

test('nothing is read after close(), not even a read that was scheduled', async () => {
  const { copy, stream, told } = copying();
  stream.push(all);
  await Promise.resolve();
  copy.close();
  await turn();
  expect(told).toEqual([]);
});
