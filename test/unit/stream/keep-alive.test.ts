import { expect, test, vi } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
import { KeepAlive } from '../../../src/stream/keep-alive.ts';
import { Positions } from '../../../src/stream/positions.ts';
import type { StatusUpdate } from '../../../src/stream/status-update.ts';
import { deadAfter, lookInterval, statusInterval } from '../../../src/stream/timing.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { recorder } from '../../support/recorder.ts';

useFakeTime();

const timeout = 3000;

function keepAlive() {
  const sent = recorder<StatusUpdate>();
  const failed = recorder();
  const host = {
    bytesRead: 0,
    paused: false,
    send: sent,
    fail: failed,
  };
  return { sent: sent.all, failed: failed.all, host, keepAlive: new KeepAlive(host, new Positions(), timeout) };
}

test('every status update asks for an answer, so that an idle server is never silent; not while reading is paused', () => {
  const { sent, host, keepAlive: alive } = keepAlive();
  alive.start();
  vi.advanceTimersByTime(2 * statusInterval(timeout));
  host.paused = true;
  vi.advanceTimersByTime(statusInterval(timeout));
  alive.stop();
  expect(sent.map(({ replyRequested }) => replyRequested)).toEqual([true, true, false]);
});

test('a server that sends nothing for too long is given up, one that sends a byte is not', () => {
  const { failed, host, keepAlive: alive } = keepAlive();
  const listen = (milliseconds: number) => {
    for (let time = 0; time < milliseconds; time += lookInterval(timeout)) alive.look();
  };
  listen(deadAfter(timeout));
  host.bytesRead++;
  listen(deadAfter(timeout));
  expect(failed).toEqual([]);
  listen(2 * lookInterval(timeout));
  expect(failed[0]).toBeInstanceOf(WatchError);
  expect(failed[0]).toMatchObject({ code: 'CONNECTION', message: expect.stringContaining('silent') });
});
