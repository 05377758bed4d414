/** Whatever bytes arrive, the decoder returns or throws a ProtocolError. `npm run fuzz` tries a million cases. */
import vm from 'node:vm';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Decoder } from '../../../../src/postgres/pgoutput/decoder.ts';
import { fuzzCase, type Seen } from '../../../support/decoder-fuzz.ts';
import * as encode from '../../../support/pgoutput-messages.ts';

const cases = Number(process.env['WALWATCH_FUZZ_CASES'] ?? 20_000);
const seed = Number(process.env['WALWATCH_FUZZ_SEED'] ?? 1);

/** An endless loop cannot be stopped from inside, but a script of node:vm has a timeout. */
function withinSeconds(seconds: number, run: () => void, describe: () => string): void {
  const context = vm.createContext({ run });
  try {
    vm.runInContext('run()', context, { timeout: seconds * 1000 });
  } catch (error) {
    const hung = (error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
    throw hung ? new Error(`it hangs: ${describe()}`, { cause: error }) : error;
  }
}

test(
  `${cases} streams of corrupted messages: the decoder returns or names message and offset, and never reads outside the message`,
  {
    timeout: 60_000 + cases,
  },
  () => {
    const seen: Seen = new Map();
    for (let index = 0; index < cases;) {
      const end = Math.min(cases, index + 1000);
      withinSeconds(
        30,
        () => {
          for (; index < end; index++) fuzzCase(seed, index, seen);
        },
        () => `WALWATCH_FUZZ_SEED=${seed}, case ${index}`,
      );
    }
    const outcomes = Object.fromEntries([...seen].sort(([a], [b]) => a.localeCompare(b)));
    if (process.env['WALWATCH_FUZZ_CASES']) console.log(`WALWATCH_FUZZ_SEED=${seed}`, outcomes);
    // Each kind of message was decoded, and each was refused.
    for (const tag of ['begin', 'commit', 'relation', 'insert', 'update', 'delete', 'truncate', 'message'])
      expect(outcomes[tag], tag).toBeGreaterThan(0);
    for (const letter of 'BCRIUDTMYO') expect(outcomes[`error ${letter}`], letter).toBeGreaterThan(0);
  },
);

const oid = 16_384;
const hex = (digits: string) => Buffer.from(digits.replaceAll(' ', ''), 'hex');

/** Messages that announce much more than they contain, about a relation with the given number of columns. */
const boasting: Readonly<Record<string, readonly [message: Buffer, columns: number]>> = {
  'columns of a relation': [hex('52 00004000 00 00 64 ffff'), 0],
  'values of a row': [hex('49 00004000 4e ffff'), 0xffff],
  'values of an old row': [hex('44 00004000 4b ffff'), 0xffff],
  'bytes of a value': [hex('49 00004000 4e 0001 74 7fffffff'), 1],
  'relations of a truncate': [hex('54 ffffffff 00'), 0],
  'bytes of a logical message': [hex('4d 00 0000000000000001 00 ffffffff'), 0],
};

test.each(Object.entries(boasting))('too many %s fail before memory is allocated for them', (_, [message, count]) => {
  const decoder = new Decoder(({ columns }) => ({ wanted: columns.map((_, index) => index) }));
  const columns = Array.from({ length: count }, () => ({ name: '', typeOid: 25, key: true }));
  decoder.decode(encode.relation({ oid, schema: 'public', name: 't', replicaIdentity: 'd', columns }));
  const failure = () => {
    try {
      decoder.decode(message);
    } catch (error) {
      return (error as Error).message;
    }
    return undefined;
  };
  // Buffers are collected too early to appear in the heap figures.
  const buffers = [vi.spyOn(Buffer, 'alloc'), vi.spyOn(Buffer, 'allocUnsafe'), vi.spyOn(Buffer, 'allocUnsafeSlow')];
  onTestFinished(() => buffers.forEach((spy) => spy.mockRestore()));
  expect(failure()).toMatch(/\d+ bytes expected, 0 left|a string without an end/);
  for (const spy of buffers) expect(spy).not.toHaveBeenCalled();
  expect(Math.min(...Array.from({ length: 5 }, () => allocatedBy(failure)))).toBeLessThan(50_000);
});

/** Negative if garbage was collected in between. */
function allocatedBy(run: () => void): number {
  const taken = () => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external; // array buffers are external
  };
  const before = taken();
  run();
  return taken() - before;
}
