import { expect, test, vi } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
import { bindLogger } from '../../../src/observe/logger.ts';
import { Reporter } from '../../../src/observe/reporter.ts';
import { recipient } from '../../support/delivering.ts';

function reporting() {
  const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const reporter = new Reporter(log, { slot: 'worker' });
  const events: [string, unknown][] = [];
  for (const event of ['connected', 'disconnected', 'standby', 'gap', 'warning', 'handlerFailed', 'error'] as const)
    reporter.emitter.on(event, (value: unknown) => events.push([event, value]));
  return { reporter, log, events };
}
const warning = (message: string) => new WatchError('REPLICA_IDENTITY', message, { solution: 'x' });

test('a warning that is found at each connection is reported once', () => {
  const { reporter, events, log } = reporting();
  for (let connection = 0; connection < 2; connection++) reporter.warnOnce([warning('a'), warning('b')]);
  reporter.warn(warning('a'));
  expect(events.map(([, value]) => (value as Error).message)).toEqual(['a', 'b', 'a']);
  expect(log.warn).toHaveBeenCalledTimes(3);
  const { code, solution, help } = warning('a');
  expect(log.warn.mock.calls[0]).toEqual([{ code, solution, help }, 'a']);
});

test('a worker on standby reports that it is, and when another worker has the slot', () => {
  const { reporter, events } = reporting();
  for (const pid of [7, 7, 8]) reporter.standby('worker', pid);
  reporter.streaming(0, '0/1', undefined);
  reporter.standby('worker', 8);
  reporter.disconnected(warning('lost'), 100);
  reporter.standby('worker', 8);
  const told = events.filter(([event]) => event === 'standby').map(([, value]) => value);
  expect(told).toEqual([7, 8, 8, 8].map((activePid) => ({ activePid })));
  const warnings = events.filter(([event]) => event === 'warning').map(([, value]) => value);
  expect(warnings).toMatchObject([
    { code: 'SLOT_ACTIVE', message: expect.stringContaining('process 7') },
    { code: 'SLOT_ACTIVE', message: expect.stringContaining('process 8') },
  ]);
});

test('a lost connection and a new one are reported, in the log too', () => {
  const { reporter, events, log } = reporting();
  const lost = new WatchError('CONNECTION', 'reset');
  reporter.disconnected(lost, 100);
  reporter.streaming(1, '0/2', undefined);
  expect(events).toEqual([['disconnected', { error: lost, retryIn: 100 }], ['connected', { reconnects: 1 }]]); // prettier-ignore
  expect(log.warn.mock.calls).toEqual([[{ err: lost, code: 'CONNECTION', retryIn: 100 }, 'disconnected: reset']]);
  expect(log.info.mock.calls).toEqual([[{ reconnects: 1, confirmedLsn: '0/2' }, 'streaming']]);
});

test('a gap is reported before the connection that has it', () => {
  const { reporter, events, log } = reporting();
  const gap = { from: '0/1', to: '0/2', reason: 'dropped' };
  reporter.streaming(1, '0/2', gap);
  expect(events).toEqual([['gap', gap], ['connected', { reconnects: 1 }]]); // prettier-ignore
  expect(log.warn.mock.calls[0]![0]).toBe(gap);
});

test('a failed handler is reported with the name of its subscription, an error with its solution', () => {
  const { reporter, events, log } = reporting();
  const error = new Error('broken');
  const failure = { eventId: '0/1/0', attempt: 2, error, action: 'retry', retryIn: 200 } as const;
  reporter.handlerFailed({ recipient: recipient(() => {}, { name: 'mail' }), ...failure }); // prettier-ignore
  const over = warning('over');
  reporter.failed(over);
  expect(events[0]).toEqual(['handlerFailed', { subscription: 'mail', ...failure }]);
  expect(events[1]).toEqual(['error', over]);
  expect(log.warn.mock.calls[0]![0]).toMatchObject({ subscription: 'mail', err: error, eventId: '0/1/0' });
  expect(log.error.mock.calls[0]![0]).toMatchObject({ code: 'REPLICA_IDENTITY', solution: 'x', help: over.help });
});

test('the slot is in every line of a logger that can be bound; another is used unchanged, and without one nothing is logged', () => {
  const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const child = { ...log };
  const pino = { ...log, child: vi.fn(() => child) };
  expect(bindLogger(pino, { slot: 'a' })).toBe(child);
  expect(pino.child).toHaveBeenCalledWith({ slot: 'a' });
  expect(bindLogger(log, { slot: 'a' })).toBe(log);
  expect(() => bindLogger(undefined, {}).error({})).not.toThrow();
});
