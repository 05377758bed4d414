// Bundles a worker that uses the packed package with webpack and Next, and runs each bundle in an otherwise empty folder, on
// a PostgreSQL. It needs `npm run build && npm run compile`. esbuild and rolldown: test/integration/bundled.test.ts.
import { spawn } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder, makeProject, run, startDatabase } from './project.mjs';

const worker = {
  'worker.mjs': readFileSync('scripts/try/worker.mjs', 'utf8'),
  'main.mjs': readFileSync('scripts/try/main.mjs', 'utf8'),
};
const works = 'the worker has worked\n';
const DATABASE_URL = await startDatabase();

/** @param {string} bundle @param {string} printed */
function report(bundle, printed) {
  if (printed !== works) throw new Error(`${bundle}: printed ${printed}`);
  console.log(bundle, 'ok');
}

/** Both formats, each minified as for production, and for development. */
function tryWebpack() {
  const project = makeProject(
    {
      ...worker,
      'bundle.mjs': `
import webpack from 'webpack';
const [mode, format] = process.argv.slice(2);
const esm = format === 'mjs';
webpack({
  mode, entry: './main.mjs', target: 'node20', context: import.meta.dirname,
  experiments: { outputModule: esm },
  output: { path: import.meta.dirname + '/out', filename: mode + '.' + format, module: esm, chunkFormat: esm ? 'module' : 'commonjs' },
}, (error, stats) => {
  console.log(error ?? stats.toString('errors-warnings'));
  if (error || stats.hasErrors()) process.exitCode = 1;
});
`,
    },
    ['webpack'],
  );
  for (const mode of ['production', 'development']) {
    for (const format of ['mjs', 'cjs']) {
      process.stdout.write(run(project, process.execPath, ['bundle.mjs', mode, format]));
      const elsewhere = makeFolder();
      const file = `${mode}.${format}`;
      cpSync(join(project, 'out', file), join(elsewhere, file));
      report(`webpack ${file}`, run(elsewhere, process.execPath, [file], { DATABASE_URL }));
    }
  }
}

/** A standalone server that starts its worker, as examples/sse-next does. */
async function tryNext() {
  const project = makeProject(
    {
      ...worker,
      'package.json': '{ "private": true, "type": "module" }',
      'next.config.mjs': `export default { output: 'standalone', outputFileTracingRoot: import.meta.dirname };`,
      'instrumentation.js': `
export async function register() {
  if (process.env.NEXT_RUNTIME === 'nodejs') await (await import('./worker.mjs')).work(process.env.DATABASE_URL);
}`,
      'app/layout.js': 'export default ({ children }) => <html><body>{children}</body></html>;',
      'app/page.js': 'export default () => <p>There is a worker, too.</p>;',
    },
    ['next', 'react', 'react-dom'],
  );
  for (const bundler of ['--turbopack', '--webpack']) {
    run(project, 'npx', ['next', 'build', bundler], { NEXT_TELEMETRY_DISABLED: '1' });
    const elsewhere = makeFolder();
    cpSync(join(project, '.next/standalone'), elsewhere, { recursive: true });
    report(`next ${bundler}`, await firstLine(elsewhere, works));
  }
}

/**
 * The output of a server, until it contains this text or the server ends.
 * @param {string} cwd @param {string} expected @returns {Promise<string>}
 */
async function firstLine(cwd, expected) {
  const server = spawn(process.execPath, ['server.js'], {
    cwd,
    env: { ...process.env, DATABASE_URL, PORT: '0', HOSTNAME: '127.0.0.1' },
  });
  let printed = '';
  for (const stream of [server.stdout, server.stderr]) {
    stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      printed += text;
      if (printed.includes(expected)) server.kill();
    });
  }
  const impatience = setTimeout(() => server.kill('SIGKILL'), 60_000);
  await new Promise((resolve) => server.once('close', resolve));
  clearTimeout(impatience);
  return printed.includes(expected) ? expected : printed;
}

tryWebpack();
await tryNext();
