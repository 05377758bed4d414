import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, test } from 'vitest';

const source = new URL('../../../src/', import.meta.url).pathname;

async function bundle(contents: string): Promise<Uint8Array> {
  const { outputFiles, warnings } = await build({
    stdin: { contents, resolveDir: source },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser', // an import that exists only in Node would be an error
    external: ['react'],
    write: false,
  });
  expect(warnings).toEqual([]);
  return outputFiles[0]!.contents;
}

test('client and hooks together are at most 6.2 kB, minified and gzipped, without React', async () => {
  const both = await bundle(`export * from './client/index.ts'; export * from './react/index.ts';`);
  expect(gzipSync(both).length).toBeLessThanOrEqual(6200);
  // Keeps both in the bundle.
  const text = new TextDecoder().decode(both);
  expect(text).toContain('BroadcastChannel');
  expect(text).toContain('useSyncExternalStore');
});
