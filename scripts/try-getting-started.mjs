// Follows docs/getting-started.md and the quick start of README.md, word by word and in order, in an empty folder: commands,
// files, SQL and Ctrl-C are read from the Markdown itself, and the output is compared with the page (`…` stands
// for anything). Three things differ for a reader: `docker run` is left out, because an embedded PostgreSQL replaces it;
// `npm install walwatch` installs the package that is packed here; and where Node does not strip types, the page's
// `npx -y tsx worker.ts` is run instead of `node worker.ts`. It needs `npm run build` and `npm run compile`.
//   node scripts/try-getting-started.mjs 20 24    with these versions of Node, which npx fetches; default: the one that runs this
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import pg from 'pg';
import { startCluster } from './cluster.mjs';
import { serveRegistry } from './registry.mjs';

/** @typedef {{ kind: string, text: string }} Step */

/**
 * A reader's steps on a page, in order: code blocks by their language, `file` for a name that is followed by a colon, `Ctrl-C`.
 * @type {(markdown: string) => Step[]}
 */
const stepsOf = (markdown) =>
  [...markdown.matchAll(/^```(\w+)\n([^]*?)^```$|^`([\w.-]+)`:$|Ctrl-C/gm)].map(([all, language, code = '', file]) =>
    language ? { kind: language, text: code } : file ? { kind: 'file', text: file } : { kind: all, text: '' },
  );

const guide = readFileSync('docs/getting-started.md', 'utf8');
const readme = readFileSync('README.md', 'utf8');
const pages = {
  'docs/getting-started.md': stepsOf(guide),
  'README.md, quick start': stepsOf(
    readme.slice(readme.indexOf('\n## Quick start'), readme.indexOf('\n## What you can rely on')),
  ),
};

/** A reader with a shell in an empty folder. */
class Reader {
  folder = mkdtempSync(join(tmpdir(), 'walwatch-started-'));
  /** @type {NodeJS.ProcessEnv} */
  env;
  /** @type {import('node:child_process').ChildProcess | undefined} */
  worker;
  /** The worker's output since the page has last shown it. */
  output = '';
  file = '';
  stripsTypes;

  /** @param {string} node @param {string} registry */
  constructor(node, registry) {
    const own = Object.entries(process.env).filter(([name]) => !/^(npm_|DATABASE_URL$|PG|NODE_OPTIONS$)/i.test(name));
    const path = `${dirname(node)}${delimiter}${process.env['PATH']}`;
    this.env = { ...Object.fromEntries(own), PATH: path, npm_config_registry: registry, NO_COLOR: '1' };
    this.stripsTypes = execFileSync(node, ['-p', 'process.features.typescript'], { encoding: 'utf8' }) === 'strip\n';
  }

  /** @param {Step} step */
  async do({ kind, text }) {
    if (kind === 'file') this.file = text;
    else if (kind === 'ts') writeFileSync(join(this.folder, this.file), text);
    else if (kind === 'sh') for (const line of text.trim().split('\n')) await this.run(line);
    else if (kind === 'sql') await this.query(text);
    else if (kind === 'text') await this.shows(text);
    else if (kind === 'Ctrl-C') await this.interrupt();
    else throw new Error(`what does a reader do with a block of ${kind}?`);
  }

  /** @param {string} line */
  async run(line) {
    if (line.startsWith('docker run ')) return;
    if (/^node \S+\.ts$/.test(line)) {
      this.start(this.stripsTypes ? line : line.replace('node', 'npx -y tsx'));
      return;
    }
    console.log(`  $ ${line}`);
    // Variables that the line exports exist for the next one.
    const shell = spawn('bash', ['-ec', `${line}\nenv -0 >&3`], {
      cwd: this.folder,
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    let printed = '';
    for (const stream of [shell.stdout, shell.stderr]) stream?.on('data', (chunk) => (printed += String(chunk)));
    let exported = '';
    shell.stdio[3]?.on('data', (chunk) => (exported += String(chunk)));
    const [code] = await once(shell, 'close');
    if (code !== 0) throw new Error(`$ ${line}\nended with ${code}:\n${printed}`);
    this.env = Object.fromEntries(
      exported
        .split('\0')
        .filter(Boolean)
        .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    );
  }

  /** @param {string} line */
  start(line) {
    if (!pageHas(line)) throw new Error(`the page does not say \`${line}\``);
    console.log(`  $ ${line}`);
    // `exec`, so that Ctrl-C reaches the worker as the terminal would send it.
    this.worker = spawn('bash', ['-c', `exec ${line}`], {
      cwd: this.folder,
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const stream of [this.worker.stdout, this.worker.stderr])
      stream?.setEncoding('utf8').on('data', (chunk) => (this.output += chunk));
  }

  /** @param {string} text */
  async query(text) {
    const client = new pg.Client(this.env['DATABASE_URL']);
    await client.connect();
    await client.query(text);
    await client.end();
  }

  /** The output, without Node's warning about stripping types. */
  get printed() {
    return this.output.replaceAll(/^\(node:\d+\) ExperimentalWarning: Type Stripping.*\n\(Use `node.*\n/gm, '');
  }

  /** The worker prints exactly this. @param {string} text */
  async shows(text) {
    const escaped = text.split('…').map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    const wanted = new RegExp(`^${escaped.join('.+')}$`);
    for (const deadline = Date.now() + 30_000; !wanted.test(this.printed); await new Promise((r) => setTimeout(r, 20)))
      if (Date.now() > deadline || this.worker?.exitCode != null)
        throw new Error(`the page shows\n${text}\nand there was\n${this.printed}`);
    this.output = '';
  }

  async interrupt() {
    const { worker } = this;
    if (!worker?.pid) throw new Error('Ctrl-C, but nothing runs');
    const ended = once(worker, 'close');
    process.kill(-worker.pid, 'SIGINT');
    const [code, signal] = await ended;
    this.worker = undefined;
    // npx itself is ended by the signal, once its program has ended.
    const isClean = code === 0 || (signal === 'SIGINT' && !this.stripsTypes);
    if (!isClean || this.printed !== '')
      throw new Error(`Ctrl-C ended the worker with ${code ?? signal}; it printed\n${this.printed}`);
  }

  async leave() {
    if (this.worker?.pid && this.worker.exitCode === null) process.kill(-this.worker.pid, 'SIGKILL');
    rmSync(this.folder, { recursive: true });
  }
}

/** @param {string} line */
const pageHas = (line) => guide.includes(line) && readme.includes(line);

/** The server that the page's `docker run` would have started. @returns {Promise<AsyncDisposable>} */
const hba = ['127.0.0.1/32', '::1/128'].map((address) => `host all,replication all ${address} trust`); // localhost may be either
const postgres = () => startCluster({ settings: { port: 5432, listen_addresses: 'localhost' }, hba });

const packed = mkdtempSync(join(tmpdir(), 'walwatch-packed-'));
const registry = await serveRegistry(packed);
try {
  const versions = process.argv.slice(2);
  const nodes = versions.map((one) => execFileSync('npx', ['-y', `node@${one}`, '-p', 'process.execPath'], { encoding: 'utf8' }).trim()); // prettier-ignore
  for (const node of versions.length === 0 ? [process.execPath] : nodes) {
    for (const [page, steps] of Object.entries(pages)) {
      console.log(`${execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()}, ${page}`);
      const server = await postgres();
      const reader = new Reader(resolve(node), registry.url);
      try {
        for (const step of steps) await reader.do(step);
        if (reader.worker) await reader.interrupt();
      } finally {
        await reader.leave();
        await server[Symbol.asyncDispose]();
      }
    }
  }
} finally {
  registry.close();
  rmSync(packed, { recursive: true });
}
