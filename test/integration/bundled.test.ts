/** A worker as a single file that contains walwatch, in an otherwise empty folder. scripts/try-bundlers.mjs tries more bundlers. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { rolldown } from 'rolldown';
import { expect, onTestFinished, test } from 'vitest';
import { useDatabase } from '../support/database.ts';

const database = useDatabase();
const run = promisify(execFile);

interface Bundle {
  readonly format: 'esm' | 'cjs';
  readonly minify: boolean;
}

/** The built package (`npm run compile`): a package may import itself by its name. */
const entry = fileURLToPath(new URL('../../scripts/try/main.mjs', import.meta.url));

async function byEsbuild({ format, minify }: Bundle, outfile: string): Promise<void> {
  await build({
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    target: 'node20',
    format,
    minify,
    outfile,
    logLevel: 'error',
    tsconfigRaw: {}, // this repository resolves 'walwatch' to src
    // pg is CommonJS, and requires modules of Node. docs/how-to/bundlers-and-runtimes.md shows this line.
    ...(format === 'esm' && {
      banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);` },
    }),
  });
}

async function byRolldown({ format, minify }: Bundle, file: string): Promise<void> {
  const bundle = await rolldown({ input: entry, platform: 'node', tsconfig: false });
  await bundle.write({ file, format, minify, codeSplitting: false });
  await bundle.close();
}

test.each([
  ['esbuild', { format: 'esm', minify: true }, byEsbuild],
  ['esbuild', { format: 'cjs', minify: false }, byEsbuild],
  ['rolldown', { format: 'esm', minify: false }, byRolldown],
  ['rolldown', { format: 'cjs', minify: true }, byRolldown],
] as const)('%s makes one file of a worker with dead letters and transactions: %j', async (_, bundle, makeBundle) => {
  const folder = await mkdtemp(join(tmpdir(), 'walwatch-bundled-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const name = bundle.format === 'esm' ? 'worker.mjs' : 'worker.cjs';
  await makeBundle(bundle, join(folder, name));
  expect(await readdir(folder)).toEqual([name]);
  const { stdout } = await run(process.execPath, [name], {
    cwd: folder,
    env: { ...process.env, DATABASE_URL: database.url },
  });
  expect(stdout).toBe('the worker has worked\n');
});
