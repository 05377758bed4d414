/** A real PgBouncer in front of a server, if the Debian package `pgbouncer` is installed. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serverUser } from './binaries.ts';
import { freePort } from './cluster.ts';
import { until } from './until.ts';

export interface Pooler extends AsyncDisposable {
  /** The server's URL, through the pooler. */
  readonly url: string;
}

// Debian installs it where only root looks.
const path = [process.env['PATH'], '/usr/sbin', '/usr/local/sbin'].join(':');

/** Undefined if it is not installed. */
export function poolerVersion(): { readonly major: number; readonly minor: number } | undefined {
  try {
    const text = execFileSync('pgbouncer', ['--version'], { env: { PATH: path }, encoding: 'utf8' });
    const [, major, minor] = /PgBouncer (\d+)\.(\d+)/.exec(text)!;
    return { major: Number(major), minor: Number(minor) };
  } catch {
    return undefined;
  }
}

export async function startPooler(serverUrl: string, settings: Readonly<Record<string, string>>): Promise<Pooler> {
  const { hostname, port } = new URL(serverUrl);
  const user = await serverUser();
  const directory = await mkdtemp(join(tmpdir(), 'walwatch-pgbouncer-'));
  const url = new URL(serverUrl);
  url.port = String(await freePort());
  const all = { listen_addr: '127.0.0.1', listen_port: url.port, unix_socket_dir: '', auth_type: 'any', ...settings };
  const target = `* = host=${hostname} port=${port} user=postgres`;
  const file = join(directory, 'pgbouncer.ini');
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  await writeFile(file, ['[databases]', target, '[pgbouncer]', ...lines, ''].join('\n'));
  if (user) for (const one of [directory, file]) await chown(one, user.uid, user.gid);

  const pooler = spawn('pgbouncer', ['--quiet', file], {
    ...user,
    cwd: directory,
    env: { PATH: path },
    stdio: 'ignore',
  });
  const ended = once(pooler, 'exit');
  await until(() => answers(pooler, Number(url.port)), { describe: 'PgBouncer to listen' });
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      pooler.kill('SIGTERM'); // an immediate end
      await ended;
      await rm(directory, { recursive: true });
    },
  };
}

async function answers(pooler: ChildProcess, port: number): Promise<boolean> {
  if (pooler.exitCode !== null) throw new Error(`PgBouncer has ended with ${pooler.exitCode}`);
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false; // not yet
  } finally {
    socket.destroy();
  }
}
