// Runs a worker, a page and a test watch of the packed package under Jest, vitest and node:test, set up as docs/how-to/testing.md tells users to. It needs
// `npm run build && npm run compile`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { makeProject, run, startDatabase } from './project.mjs';

const text = (/** @type {string} */ name) => readFileSync(`scripts/try/${name}`, 'utf8');

// walwatch is ESM, and CommonJS tests need it transformed, even where pnpm installs it.
const transformIgnorePatterns = ['/node_modules/(?!(?:.*/)?walwatch/)'];
/** @type {Readonly<Record<string, object>>} */
const jest = {
  babel: {
    transform: {
      '\\.[jt]sx?$': ['babel-jest', { presets: [['@babel/preset-env', { targets: { node: 'current' } }]] }],
    },
    transformIgnorePatterns,
  },
  swc: { transform: { '\\.[jt]sx?$': '@swc/jest' }, transformIgnorePatterns },
  'ts-jest': { preset: 'ts-jest/presets/js-with-ts', transformIgnorePatterns },
};

const project = makeProject(
  {
    ...Object.fromEntries(Object.entries(jest).map(([name, config]) => [`${name}.json`, JSON.stringify(config)])),
    'tests/worker.js': text('worker.mjs'),
    'tests/work.test.js': text('work.test.mjs'),
    'tests/page.test.js': text('page.test.mjs'),
    'tests/test-watch.js': text('test-watch.mjs'),
    'tests/work-test-watch.test.js': text('work-test-watch.test.mjs'),
    'page-server.mjs': text('page-server.mjs'),
    // Unchanged, without a transform.
    'native/worker.mjs': text('worker.mjs'),
    'native/work.test.mjs': text('work.test.mjs').replace('./worker', './worker.mjs'),
    'native/test-watch.mjs': text('test-watch.mjs'),
    'native/work-test-watch.test.mjs': text('work-test-watch.test.mjs').replace('./test-watch', './test-watch.mjs'),
    'node/test-watch.test.mjs': `import { test } from 'node:test';\n${text('work-test-watch.test.mjs').replace('./test-watch', '../native/test-watch.mjs')}`,
    'native/require.test.cjs': `test('loads', () => expect(require('walwatch')).toHaveProperty('createWatch'));`,
    'native.json': JSON.stringify({ transform: {}, testMatch: ['**/native/*.test.*'], moduleFileExtensions: ['js', 'cjs', 'mjs'] }), // prettier-ignore
    'tsconfig.json': JSON.stringify({
      compilerOptions: { allowJs: true, esModuleInterop: true, isolatedModules: true },
    }),
  },
  [
    'jest', '@babel/preset-env', '@swc/core', '@swc/jest', 'ts-jest', 'typescript@6', 'jest-fixed-jsdom',
    'jest-environment-jsdom', 'vitest', 'jsdom', 'react', 'react-dom',
  ], // prettier-ignore
);

const DATABASE_URL = await startDatabase();
const server = spawn(process.execPath, ['page-server.mjs'], {
  cwd: project,
  stdio: ['ignore', 'pipe', 'inherit'],
  env: { ...process.env, DATABASE_URL },
});
process.once('exit', () => server.kill());
const [port] = await once(server.stdout.setEncoding('utf8'), 'data');
const environment = { DATABASE_URL, LIVE_URL: `http://127.0.0.1:${port.trim()}/live`, CI: 'true' };

/** @param {string} what @param {string} command @param {readonly string[]} args @param {NodeJS.ProcessEnv} [more] */
function attempt(what, command, args, more = {}) {
  run(project, command, args, { ...environment, ...more });
  console.log(what, 'ok');
}

for (const name of Object.keys(jest)) attempt(`Jest, ${name}`, 'npx', ['jest', '-c', `${name}.json`, 'tests/work']);
attempt('Jest, a page', 'npx', ['jest', '-c', 'swc.json', '--env', 'jest-fixed-jsdom', 'tests/page']);
const vmModules = { NODE_OPTIONS: '--experimental-vm-modules' };
attempt('Jest, ESM', 'npx', ['jest', '-c', 'native.json', 'native/work'], vmModules);
attempt('Jest, ESM and require() on Node 24', 'npx', ['-y', 'node@24', 'node_modules/jest/bin/jest.js', '-c', 'native.json'], vmModules); // prettier-ignore
for (const name of ['node', 'jsdom']) {
  const tests = name === 'node' ? 'tests/work' : 'tests/';
  attempt(`vitest, ${name}`, 'npx', ['vitest', 'run', '--globals', '--environment', name, tests]);
}
attempt('node:test', process.execPath, ['--test', 'node/test-watch.test.mjs']);
server.kill();
