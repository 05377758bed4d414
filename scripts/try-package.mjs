// Tries the package as a user gets it: packs it, installs it in an empty project, and uses it from ESM, from CommonJS
// and from TypeScript. The links of its docs lead to files of the package. It needs a build (`npm run build`).
//   node scripts/try-package.mjs            with the Node that runs this
//   node scripts/try-package.mjs 20 24      with these, which npx fetches
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { makeProject, run } from './project.mjs';

const { bin = {}, exports, peerDependencies = {} } = JSON.parse(readFileSync('package.json', 'utf8'));
const entryPoints = Object.keys(exports).map((path) => path.replace(/^\./, 'walwatch'));

// The first steps of a user, without a database: declare, create, subscribe, and get an error for a wrong name.
const use = `
const watchers = defineWatchers([['users', 'updated', { extraColumns: ['role_id'] }]]);
const watch = createWatch({ connection: 'postgres://localhost/none', slot: 'try', watchers });
const subscription = watch.subscribe('users:updated', { role_id: 1 }, () => {});
const { state, subscriptions } = watch.status();
if (state !== 'idle' || subscriptions !== 1) throw new Error('state ' + state + ', subscriptions ' + subscriptions);
subscription.unsubscribe();
let refused;
try {
  createWatch({ slot: 'NOT A SLOT', watchers });
} catch (error) {
  refused = error;
}
if (!(refused instanceof ConfigurationError)) throw new Error('a wrong name was not refused');
`;
const names = '{ ConfigurationError, createWatch, defineWatchers }';

// Every entry point loads, or its error names the optional peer dependency that is missing.
const load = (/** @type {string} */ how) => `
const entryPoints = ${JSON.stringify(entryPoints)};
const peers = ${JSON.stringify(Object.keys(peerDependencies))};
(async () => {
  for (const name of entryPoints) {
    try {
      await ${how}(name);
    } catch (error) {
      if (!peers.some((peer) => error.message.includes("'" + peer))) throw error;
    }
  }
  console.log(process.version, process.argv[1].split('.').at(-1), 'ok');
})();
`;

const files = {
  'use.mjs': `import ${names} from 'walwatch';\n${use}${load('import')}`,
  'use.cjs': `const ${names} = require('walwatch');\n${use}${load('require')}`,
  'typed.mts': `import ${names} from 'walwatch';\n${use}`,
  'typed.cts': `import { ConfigurationError, createWatch, defineWatchers } from 'walwatch';\n${use}`,
  'tsconfig.json': JSON.stringify({
    compilerOptions: { strict: true, noEmit: true, module: 'nodenext', target: 'es2022', types: ['node'] },
    include: ['typed.*'],
  }),
  // A page has no types of Node, and its worker none of the DOM.
  'page.mts': `import { createClient } from 'walwatch/client';\ncreateClient({ url: '/live' }).close();\n`,
  'tsconfig.page.json': JSON.stringify({
    compilerOptions: { strict: true, noEmit: true, module: 'nodenext', target: 'es2022', lib: ['es2022'], types: [] },
    include: ['page.mts'],
  }),
};

const project = makeProject(files);
const tsc = resolve('node_modules/typescript/bin/tsc');
for (const config of ['tsconfig.json', 'tsconfig.page.json']) run(project, process.execPath, [tsc, '-p', config]);
// Without it Next refuses the hooks in a server component. https://react.dev/reference/rsc/use-client
const react = readFileSync(join(project, 'node_modules/walwatch/dist/react/index.js'), 'utf8');
if (!react.startsWith("'use client'")) throw new Error("walwatch/react does not begin with 'use client'");

// No registry follows relative links without the address of a repository. In node_modules they work, but for the tests.
run('.', process.execPath, ['scripts/check-links.mjs', join(project, 'node_modules/walwatch'), 'test']);

const versions = process.argv.slice(2);
const nodes = versions.length === 0 ? [[process.execPath]] : versions.map((one) => ['npx', '-y', `node@${one}`]);
for (const [command = '', ...args] of nodes) {
  for (const file of ['use.mjs', 'use.cjs']) process.stdout.write(run(project, command, [...args, file]));
  for (const name of Object.keys(bin)) run(project, command, [...args, `node_modules/.bin/${name}`, '--help']);
}
