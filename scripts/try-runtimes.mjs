// Runs a worker of the packed package on Bun and Deno. It needs `npm run build && npm run compile`.
import { readFileSync } from 'node:fs';
import { makeProject, run, startDatabase } from './project.mjs';

const worker = {
  'worker.mjs': readFileSync('scripts/try/worker.mjs', 'utf8'),
  'main.mjs': readFileSync('scripts/try/main.mjs', 'utf8'),
};
const DATABASE_URL = await startDatabase();

const project = makeProject(worker, ['bun', 'deno']);
for (const [name, ...args] of [
  ['bun', 'main.mjs'],
  ['deno', 'run', '--allow-net', '--allow-env', '--allow-read', '--allow-sys', 'main.mjs'],
]) {
  const [version] = run(project, `node_modules/.bin/${name}`, ['--version']).split('\n');
  const printed = run(project, `node_modules/.bin/${name}`, args, { DATABASE_URL });
  if (printed !== 'the worker has worked\n') throw new Error(`${name} ${version}: printed ${printed}`);
  console.log(name, version, 'ok');
}
