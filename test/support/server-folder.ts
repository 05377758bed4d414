/**
 * Where servers keep their data: in the system's folder for temporary files, which others use too. A folder belongs to one
 * user and to one process at a time. A file in it, `used-by-<process id>`, names the process.
 */
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programs, serverUser } from './binaries.ts';

const prefix = 'walwatch-';

/** A new folder. Removes the folders of killed processes, servers included. */
export async function temporaryFolder(): Promise<string> {
  for (const name of readdirSync(tmpdir())) {
    if (/^walwatch-\w{6}$/.test(name)) await removeIfAbandoned(join(tmpdir(), name));
  }
  const folder = mkdtempSync(join(tmpdir(), prefix));
  claim(folder);
  return folder;
}

/** The folder with this name and an earlier process's data, or one beside it while another process uses that. */
export async function lastingFolder(name: string): Promise<string> {
  for (let n = 1; ; n++) {
    const folder = join(tmpdir(), `${prefix}${name}${n === 1 ? '' : `-${n}`}`);
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if ((await isOurs(folder)) && claim(folder)) return folder;
  }
}

/** Another process may have it. */
export function release(folder: string): void {
  rmSync(claimOf(folder, process.pid), { force: true });
}

const claimOf = (folder: string, pid: number) => join(folder, `used-by-${pid}`);

/** Two processes that start at once may both be refused; they never both get it. */
function claim(folder: string): boolean {
  writeFileSync(claimOf(folder, process.pid), '');
  const users = usersOf(folder);
  for (const pid of users) if (!isRunning(pid)) rmSync(claimOf(folder, pid), { force: true });
  const isFree = users.every((pid) => pid === process.pid || !isRunning(pid));
  if (!isFree) release(folder);
  return isFree;
}

function usersOf(folder: string): number[] {
  return readdirSync(folder).flatMap((name) => {
    const [, pid] = /^used-by-(\d+)$/.exec(name) ?? [];
    return pid === undefined ? [] : [Number(pid)];
  });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // it belongs to another user
  }
}

/** Anybody may create a folder with this name, and would then control our server. */
async function isOurs(folder: string): Promise<boolean> {
  const found = lstatSync(folder);
  const users = [process.getuid?.() ?? found.uid, (await serverUser())?.uid];
  return (
    found.isDirectory() && users.includes(found.uid) && (process.platform === 'win32' || (found.mode & 0o022) === 0)
  );
}

async function removeIfAbandoned(folder: string): Promise<void> {
  try {
    const users = usersOf(folder);
    if (users.length === 0 || users.some(isRunning) || !(await isOurs(folder))) return;
    if (await answers(folder)) {
      const run = await programs(17, await serverUser(), folder);
      await run('pg_ctl', ['stop', '--silent', '-m', 'immediate', '-D', join(folder, 'data')]);
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  } catch {
    // Another process removes it at the same time, or it cannot be removed: it does no harm.
  }
}

/** Whether a server really runs there: the process id in a stale postmaster.pid may now belong to any process. */
async function answers(folder: string): Promise<boolean> {
  const name = readdirSync(folder).find((entry) => /^\.s\.PGSQL\.\d+$/.test(entry));
  if (name === undefined) return false;
  const socket = connect(join(folder, name));
  return new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  }).finally(() => socket.destroy());
}
