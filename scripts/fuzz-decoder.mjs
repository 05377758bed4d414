// Runs the decoder's fuzz test for long, each time with other bytes: WALWATCH_FUZZ_CASES, by default a million. It
// prints its seed; WALWATCH_FUZZ_SEED repeats a run.
import { randomInt } from 'node:crypto';
import { startVitest } from 'vitest/node';

process.env['WALWATCH_FUZZ_CASES'] ??= '1000000';
process.env['WALWATCH_FUZZ_SEED'] ??= String(randomInt(2 ** 32));
const vitest = await startVitest('test', ['test/unit/pgoutput/decoder-fuzz.test.ts'], {
  project: ['unit'],
  watch: false,
});
await vitest.close();
