// Compiles typical user code against the packed package: exported watchers, watches and hooks with declarations, project
// references, tsup, and pages without Node's types; with each TypeScript that is supported. It needs a build.
//   node scripts/try-types.mjs             with TypeScript 5.4, 5.9, 6.0 and 7.0, which npm fetches
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const compilers = ['5.4', '5.9', '6.0', '7.0'];
const { devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'walwatch-types-'));

/** @type {(path: string, content: unknown) => void} */
const write = (path, content) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), typeof content === 'string' ? content : JSON.stringify(content, undefined, 2));
};
/** @type {(command: string, args: string[], cwd?: string) => string} */
const run = (command, args, cwd = folder) => {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')}: ${/** @type {{ stdout?: string }} */ (error).stdout}`, {
      cause: error,
    });
  }
};

const strict = { strict: true, target: 'es2022', skipLibCheck: true, esModuleInterop: true, types: [] };
const emitting = { ...strict, declaration: true, composite: true, lib: ['es2023', 'dom', 'esnext.disposable'] };

function writeProjects() {
  // One project has the watchers and everything made of them, another uses it by its declarations.
  cpSync('test/types/exported.ts', join(folder, 'lib/exported.ts'));
  write('lib/tsconfig.json', {
    compilerOptions: { ...emitting, module: 'nodenext', rootDir: '.', outDir: 'out' },
    include: ['*.ts'],
  });
  write('lib/package.json', { type: 'module' });
  write('app/package.json', { type: 'module' });
  write('app/tsconfig.json', {
    compilerOptions: { ...emitting, module: 'nodenext', rootDir: '.', outDir: 'out' },
    include: ['*.ts'],
    references: [{ path: '../lib' }],
  });
  write(
    'app/app.ts',
    `import type { EventOf, FilterOf, Watch } from 'walwatch';
import { heldBy, useLive, watch, watchers, type untyped } from '../lib/exported.js';
export const application = (given: Watch<typeof watchers>) => given.subscribe('posts:updated', 7n, ({ authorId }) => authorId?.toUpperCase());
export const mine = application(watch);
export type User = EventOf<typeof watchers, 'users:updated'>;
export const user: User = { id: 1, email: 'a', role_id: null, seen_at: new Date() };
export const filter: FilterOf<typeof watchers, 'users:updated'> = { role_id: 7 };
export const any: EventOf<typeof untyped, 'users:updated'> = { anything: 1 };
export const held = () => heldBy()?.subscription;
export const Loaded = () => useLive('users:updated', 1, async () => 'x').data?.length;
// @ts-expect-error the types are known
watch.subscribe('users:update', () => {});
// @ts-expect-error those of events too
user.email = 1;
`,
  );
  // As bundlers resolve; and as a library is built.
  cpSync('test/types/exported.ts', join(folder, 'bundled/index.ts'));
  write('bundled/tsconfig.json', {
    compilerOptions: { ...emitting, module: 'esnext', moduleResolution: 'bundler', rootDir: '.', outDir: 'out' },
    include: ['*.ts'],
  });
  write('bundled/package.json', { name: 'bundled', type: 'module' });
  // A page: only the DOM's types, and skipLibCheck is off. Node's types must not be included indirectly.
  write(
    'page/page.ts',
    `import { createClient } from 'walwatch/client';
import { createHooks } from 'walwatch/react';
import type { Watchers, WatcherSpec } from 'walwatch';
type W = Watchers<{ readonly 'users:updated': WatcherSpec<'updated', { readonly id: number }, number> }>;
export const client = createClient<W>({ url: new URL('https://example.org/live') });
export const { useWatch, useLive } = createHooks(client);
export const end = client.subscribe('users:updated', 7, ({ id }) => id.toFixed());
`,
  );
  write(
    'plain/page.ts',
    `import { createClient } from 'walwatch/client';
createClient({ url: '/live' }).close();
// @ts-expect-error Node's
process.exit();
// @ts-expect-error the DOM's
document.title;
`,
  );
  write(
    'hooks/page.ts',
    `import { createClient } from 'walwatch/client';
import { createHooks } from 'walwatch/react';
export const { useWatch, useLive } = createHooks(createClient({ url: new URL('https://example.org/live') }));
// @ts-expect-error Node's
process.exit();
`,
  );
  const page = {
    ...emitting,
    skipLibCheck: false,
    module: 'esnext',
    moduleResolution: 'bundler',
    rootDir: '.',
    outDir: 'out',
  };
  write('page/tsconfig.json', { compilerOptions: { ...page, skipLibCheck: true }, include: ['*.ts'] });
  write('hooks/tsconfig.json', { compilerOptions: page, include: ['*.ts'] });
  write('plain/tsconfig.json', { compilerOptions: { ...page, lib: ['es2022'] }, include: ['*.ts'] });
}

try {
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], '.'));
  write('package.json', { private: true, type: 'module' });
  const peers = ['drizzle-orm', 'kysely', '@types/react', 'react', '@nats-io/jetstream', '@nats-io/transport-node'];
  run('npm', [
    'install', '--prefer-offline', '--no-audit', '--no-fund', '--legacy-peer-deps', `./${packed.filename}`, 'tsup@8',
    ...peers.map((name) => `${name}@${devDependencies[name]}`),
    ...compilers.map((version) => `typescript-${version}@npm:typescript@~${version}.0`),
    // The TypeScript that tsup compiles with.
    'typescript@~5.9.0',
  ]); // prettier-ignore
  writeProjects();
  for (const version of compilers) {
    const tsc = join(folder, `node_modules/typescript-${version}/bin/tsc`);
    for (const project of ['app', 'bundled', 'page', 'hooks', 'plain']) {
      for (const made of ['lib', 'app', 'bundled', 'page', 'hooks', 'plain'])
        rmSync(join(folder, made, 'out'), { recursive: true, force: true });
      run(process.execPath, [tsc, '-b', project]);
    }
    console.log(`TypeScript ${version}: ok`);
  }
  const dts = ['tsup', 'index.ts', '--dts', '--format', 'esm', '--out-dir', 'dist', '--tsconfig', 'tsup.json'];
  write('bundled/tsup.json', { compilerOptions: { ...strict, module: 'esnext', moduleResolution: 'bundler', lib: emitting.lib } }); // prettier-ignore
  run('npx', dts, join(folder, 'bundled'));
  if (!existsSync(join(folder, 'bundled/dist/index.d.ts'))) throw new Error('tsup made no declarations');
  console.log('tsup --dts: ok');
} finally {
  rmSync(folder, { recursive: true });
}
