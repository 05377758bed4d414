// Deploys examples/sse-next with Next itself over a running one: builds it in an empty folder, without a database, then starts two
// servers on one slot. It needs `npm run build` and `npm run compile`, and fetches Next from the registry.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort, startCluster } from './cluster.mjs';
import { serveRegistry } from './registry.mjs';

const folder = mkdtempSync(join(tmpdir(), 'walwatch-next-'));
const packed = mkdtempSync(join(tmpdir(), 'walwatch-packed-'));
const registry = await serveRegistry(packed);
const cluster = await startCluster();
/** @type {import('node:child_process').ChildProcess[]} */
const servers = [];

/** @type {(condition: () => Promise<boolean>, describe: string) => Promise<void>} */
async function until(condition, describe) {
  for (const deadline = Date.now() + 30_000; !(await condition()); await new Promise((r) => setTimeout(r, 50)))
    if (Date.now() > deadline) throw new Error(`waited 30 s for ${describe}`);
}

/** @param {string} text */
async function sql(text) {
  const client = new pg.Client(cluster.url);
  await client.connect();
  await client.query(text);
  await client.end();
}

/**
 * Not synchronously: this process is npm's registry.
 * @type {(command: string, args: string[], env: NodeJS.ProcessEnv) => Promise<void>}
 */
async function run(command, args, env) {
  const options = { cwd: folder, env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1', ...env } };
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`);
}

async function start() {
  const url = `http://127.0.0.1:${await freePort()}`;
  const [, , port = ''] = url.split(':');
  const args = ['node_modules/next/dist/bin/next', 'start', '-H', '127.0.0.1', '-p', port];
  const env = {
    ...process.env,
    DATABASE_URL: cluster.url,
    NEXT_TELEMETRY_DISABLED: '1',
    NEXT_MANUAL_SIG_HANDLE: 'true',
  };
  const process_ = spawn(process.execPath, args, { cwd: folder, env });
  servers.push(process_);
  let output = '';
  for (const stream of [process_.stdout, process_.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const readyz = async () => {
    const response = await fetch(`${url}/readyz`).catch(() => undefined);
    if (!response) return { ok: false, reasons: 'none' };
    const { reasons } = /** @type {{ reasons: string[] }} */ (await response.json());
    return { ok: response.ok, reasons: reasons.join() };
  };
  return {
    live: (/** @type {RequestInit} */ init = {}) => {
      const watch = encodeURIComponent('[["users:updated",{"role_id":7}]]');
      return fetch(`${url}/live?watch=${watch}`, { ...init, headers: { cookie: 'session=1.7' } });
    },
    /** @type {(reasons: RegExp) => Promise<void>} */
    ready: (reasons) =>
      until(async () => (await readyz()).ok && reasons.test((await readyz()).reasons), `${reasons}:\n${output}`),
    async end() {
      const exited = once(process_, 'exit');
      process_.kill('SIGTERM');
      const [code, signal] = await exited;
      if (code !== 0) throw new Error(`ended with ${code ?? signal}:\n${output}`);
    },
  };
}

try {
  cpSync('examples/sse-next', folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  const { NEXT_VERSION: version = 'latest' } = process.env;
  await run('npm', ['install', '--no-audit', '--no-fund', `next@${version}`, 'react', 'react-dom', 'typescript@5', '@types/node', '@types/react', 'walwatch', 'pino'], {
    npm_config_registry: registry.url,
  }); // prettier-ignore
  const compilerOptions = {
    target: 'es2022', lib: ['dom', 'dom.iterable', 'esnext'], module: 'esnext', moduleResolution: 'bundler', jsx: 'preserve', strict: true,
    noEmit: true, isolatedModules: true, resolveJsonModule: true, esModuleInterop: true, skipLibCheck: true, allowJs: true, incremental: true,
    allowImportingTsExtensions: true, plugins: [{ name: 'next' }],
  }; // prettier-ignore
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, include: ['next-env.d.ts', '**/*.ts', '**/*.tsx'] }),
  );
  writeFileSync(join(folder, 'app/layout.tsx'), `export default ({ children }: { children: React.ReactNode }) => <html lang="en"><body>{children}</body></html>;\n`); // prettier-ignore
  writeFileSync(join(folder, 'app/page.tsx'), 'export default () => <h1>Users</h1>;\n');
  await run(process.execPath, ['node_modules/next/dist/bin/next', 'build'], { DATABASE_URL: undefined });

  await sql(`create table users (id int primary key, name text, role_id int); insert into users values (1, 'Ada', 7)`);
  const first = await start();
  await first.ready(/^$/);
  const page = await first.live(); // does not delay the end
  if (page.status !== 200) throw new Error(`/live answers ${page.status}`);
  const second = await start();
  await second.ready(/standing by/);
  const refused = await second.live();
  if (refused.status !== 503) throw new Error(`/live of a standby answers ${refused.status}`);
  await refused.body?.cancel();
  await first.end();
  await second.ready(/^$/);

  const stream = await second.live();
  let received = '';
  const reader = /** @type {ReadableStream<Uint8Array>} */ (stream.body)
    .pipeThrough(new TextDecoderStream())
    .getReader();
  for (let asked = false; !received.includes('"name":"Ada!"');) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the stream has ended:\n${received}`);
    received += value;
    if (!asked && received.includes('event: position')) {
      asked = true;
      await sql(`update users set name = name || '!'`);
    }
  }
  await reader.cancel();
  await second.end();
  const { version: used } = JSON.parse(
    execFileSync('node', ['-p', `JSON.stringify(require('next/package.json'))`], { cwd: folder, encoding: 'utf8' }),
  );
  console.log(`Next ${used}: a rolling deploy, ok`);
} finally {
  for (const server of servers) if (server.exitCode === null && server.signalCode === null) server.kill('SIGKILL');
  await cluster[Symbol.asyncDispose]();
  registry.close();
  rmSync(folder, { recursive: true, force: true });
  rmSync(packed, { recursive: true });
}
