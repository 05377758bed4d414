import { onTestFinished, vi } from 'vitest';

/**
 * Until the end of the test no timer waits for longer than some milliseconds. Returns the original delays. Not
 * for tests with sockets: Node's fetch would give up.
 */
export function hurried(): readonly number[] {
  const waits: number[] = [];
  const { setTimeout } = globalThis;
  vi.stubGlobal('setTimeout', (call: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => {
    if (ms > 5) waits.push(ms);
    return setTimeout(call, Math.min(ms, 5), ...args);
  });
  onTestFinished(() => void vi.unstubAllGlobals());
  return waits;
}
