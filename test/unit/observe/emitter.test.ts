import { expect, test, vi } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
import { Emitter } from '../../../src/observe/emitter.ts';

function emitting() {
  const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  return { emitter: new Emitter(log), log };
}
const lsn = (text: string) => ({ lsn: text });

test('listeners are called in the order in which they were added', () => {
  const { emitter } = emitting();
  const calls: string[] = [];
  for (const name of ['a', 'b']) emitter.on('acknowledged', (value) => calls.push(`${name} ${value.lsn}`));
  emitter.on('connected', () => calls.push('connected'));
  emitter.emit('acknowledged', lsn('0/1'));
  expect(calls).toEqual(['a 0/1', 'b 0/1']);
});

test('a removed listener is not called again; a function that was added twice is removed once', () => {
  const { emitter } = emitting();
  const listener = vi.fn();
  const [first] = [emitter.on('acknowledged', listener), emitter.on('acknowledged', listener)];
  emitter.emit('acknowledged', lsn('0/1'));
  first();
  first();
  emitter.emit('acknowledged', lsn('0/2'));
  expect(listener).toHaveBeenCalledTimes(3);
});

test('a listener may add and remove others while it is called', () => {
  const { emitter } = emitting();
  const late = vi.fn();
  const remove = emitter.on('acknowledged', () => {
    remove();
    emitter.on('acknowledged', late);
  });
  emitter.emit('acknowledged', lsn('0/1'));
  expect(late).not.toHaveBeenCalled();
  emitter.emit('acknowledged', lsn('0/2'));
  expect(late).toHaveBeenCalledTimes(1);
});

test('a listener that throws or rejects is logged, and the others are still called', async () => {
  const { emitter, log } = emitting();
  const [thrown, rejected] = [new Error('thrown'), new Error('rejected')];
  emitter.on('acknowledged', () => {
    throw thrown;
  });
  // oxlint-disable-next-line typescript/no-misused-promises -- what users do
  emitter.on('acknowledged', (): unknown => Promise.reject(rejected));
  const last = vi.fn();
  emitter.on('acknowledged', last);
  expect(() => emitter.emit('acknowledged', lsn('0/1'))).not.toThrow();
  await Promise.resolve();
  expect(last).toHaveBeenCalledTimes(1);
  const told = log.error.mock.calls.map(([fields]) => (fields as { err: unknown; event: string }).err);
  expect(told).toEqual([thrown, rejected]);
});

test('an error without a listener does not throw; the emitter knows which events have listeners', () => {
  const { emitter } = emitting();
  expect(() => emitter.emit('error', new WatchError('STOPPED', 'x'))).not.toThrow();
  expect(emitter.hasListener('error')).toBe(false);
  const remove = emitter.on('error', () => {});
  expect([emitter.hasListener('error'), emitter.hasListener('warning')]).toEqual([true, false]);
  remove();
  expect(emitter.hasListener('error')).toBe(false);
});
