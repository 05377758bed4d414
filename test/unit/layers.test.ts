/** ARCHITECTURE.md: imports go down only, and files are short. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const source = fileURLToPath(new URL('../../src', import.meta.url));
const tests = fileURLToPath(new URL('..', import.meta.url));

/** From the bottom to the top. Folders in the same line must not import each other. */
const layers = [
  ['abort-signal.ts', 'alike.ts', 'nearest.ts', 'printable.ts', 'redaction.ts', 'unsafe-integer.ts'],
  ['errors.ts'],
  ['option-names.ts'],
  ['types'],
  ['postgres'],
  ['options.ts'],
  ['watchers'],
  ['changes'],
  ['setup'],
  ['stream'],
  ['delivery'],
  ['routing'],
  ['existing'],
  ['observe'],
  ['watch'],
  ['nats', 'sse', 'client', 'outbox', 'testing', 'cli'],
  ['react'],
  ['index.ts'],
];
const heightOf = (place: string) => layers.findIndex((layer) => layer.includes(place));
const placeOf = (file: string) => relative(source, file).split('/')[0]!;

function* files(folder: string): Iterable<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else yield path;
  }
}

test('every file of src belongs to a layer, and imports only from its own folder and from lower layers', () => {
  const wrong = [...files(source)].flatMap((file) => {
    const from = placeOf(file);
    const imports = [...readFileSync(file, 'utf8').matchAll(/^(?:import|export) [^;]*? from '(\.[^']+)'/gms)];
    const places = imports.map(([, target]) => placeOf(resolve(dirname(file), target!)));
    if (heightOf(from) === -1) return [`${from} has no place`];
    return places
      .filter((to) => to !== from && heightOf(to) >= heightOf(from))
      .map((to) => `${relative(source, file)} imports from ${to}`);
  });
  expect(wrong).toEqual([]);
});

test.each([
  ['src', source],
  ['test', tests],
])('no file of %s is longer than 300 lines', (_, folder) => {
  const long = [...files(folder)].filter((file) => readFileSync(file, 'utf8').split('\n').length > 301);
  expect(long.map((file) => relative(folder, file))).toEqual([]);
});
