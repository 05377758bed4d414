/** One Ctrl-C may cause two signals: the terminal sends one to all processes, and npx forwards its own. */
import { afterEach, expect, test, vi } from 'vitest';
import { interruption, onSignal } from '../../../src/cli/interruption.ts';

const signals = ['SIGINT', 'SIGTERM'] as const;
const before = signals.map((name) => process.listeners(name));

afterEach(() => {
  vi.restoreAllMocks();
  signals.forEach((name, index) => {
    for (const listener of process.listeners(name)) if (!before[index]!.includes(listener)) process.off(name, listener);
  });
});

const send = (name: string, number: number) => (process as NodeJS.EventEmitter).emit(name, name, number);

function watched() {
  return {
    exit: vi.spyOn(process, 'exit').mockReturnValue(undefined as never),
    clock: vi.spyOn(performance, 'now').mockReturnValue(1000),
  };
}

test.each(signals)(
  'a second %s right after the first counts as the same, even if the work has ended between them',
  (name) => {
    const { exit } = watched();
    const first = vi.fn();
    {
      using _ = onSignal(first);
      send(name, 2);
      send(name, 2);
    }
    expect(send(name, 2)).toBe(true); // there is a listener: the signal does not end the process
    expect(first).toHaveBeenCalledTimes(1);
    expect(exit).not.toHaveBeenCalled();
  },
);

test('a later signal ends the process at once with the exit code of a shell', () => {
  const { exit, clock } = watched();
  using end = interruption();
  send('SIGINT', 2);
  expect(end.signal.aborted).toBe(true);
  clock.mockReturnValue(2000);
  send('SIGINT', 2);
  expect(exit).toHaveBeenLastCalledWith(130);
  send('SIGTERM', 15);
  expect(exit).toHaveBeenLastCalledWith(143);
});

test('without a signal, all listeners are removed', () => {
  {
    using _ = interruption();
  }
  expect(signals.map((name) => process.listeners(name))).toEqual(before);
});
