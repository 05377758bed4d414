/** A test file that leaves a timer, socket or child process behind fails. Registered first, so its afterAll runs last. */
import { afterAll } from 'vitest';
import { leftInProcess, resources } from './leftovers.ts';
import { until } from './until.ts';

const before = resources();

afterAll(async () => {
  await until(() => leftInProcess(before).length === 0, {
    describe: () => `the end of leftovers of this file: ${leftInProcess(before).join(', ')}`,
    timeout: 5_000,
  });
});
