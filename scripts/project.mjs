// A project as users have it: a folder outside the checkout with the packed package installed in it, and a PostgreSQL.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** A folder that is deleted when this process ends. */
export function makeFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'walwatch-project-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/**
 * Runs a command. Returns its output, or shows it if the command fails.
 * @param {string} cwd @param {string} command @param {readonly string[]} args @param {NodeJS.ProcessEnv} [environment]
 */
export function run(cwd, command, args, environment = {}) {
  try {
    return execFileSync(command, args, {
      cwd,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
      maxBuffer: 2 ** 26,
    });
  } catch (error) {
    const { stdout = '', stderr = '' } = /** @type {{ stdout?: string; stderr?: string }} */ (error);
    console.error(`${stdout}${stderr}`);
    throw new Error(`failed: ${command} ${args.join(' ')}`); // the error of execFileSync has all of it once more
  }
}

/**
 * Packs the build (`npm run build`), and installs it with these packages. Returns its folder.
 * @param {Readonly<Record<string, string>>} files @param {readonly string[]} [packages]
 */
export function makeProject(files, packages = []) {
  const folder = makeFolder();
  for (const [name, text] of Object.entries({ 'package.json': '{ "private": true }', ...files })) {
    mkdirSync(join(folder, dirname(name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const [packed] = JSON.parse(run('.', 'npm', ['pack', '--json', '--pack-destination', folder]));
  const options = ['--prefer-offline', '--no-audit', '--no-fund'];
  run(folder, 'npm', ['install', ...options, `./${packed.filename}`, ...packages]);
  return folder;
}

/** A test server (`npm run compile`), which ends with this process. Never DATABASE_URL: the trials drop tables. */
export async function startDatabase() {
  /** @type {typeof import('../test/support/cluster.ts')} */
  const { startCluster } = await import(resolve('.build/test/support/cluster.js'));
  return (await startCluster()).url;
}
