import { setTimeout as delay } from 'node:timers/promises';

export interface UntilOptions {
  /** What the test waits for, for the failure: `the slot to be inactive`. A function can show the progress. */
  readonly describe: string | (() => string);
  /** Milliseconds. Default 25,000: a process may have to start, and a slot to be made, on a busy machine. */
  readonly timeout?: number;
}

/** Waits until `condition` returns something truthy, and returns that. An error in the condition fails at once. */
export async function until<T>(
  condition: () => T | Promise<T>,
  { describe, timeout = 25_000 }: UntilOptions,
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = performance.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value) return value as Exclude<T, false | null | undefined>;
    if (performance.now() > deadline) {
      throw new Error(`Waited ${timeout} ms for ${typeof describe === 'string' ? describe : describe()}`);
    }
    await delay(5);
  }
}

export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** Promise.withResolvers, which Node 20 does not have. */
export function deferred<T = void>(): Deferred<T> {
  let resolve!: Deferred<T>['resolve'];
  let reject!: Deferred<T>['reject'];
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
