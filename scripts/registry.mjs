// A registry for one trial: it has this package as if it were published, and sends npm to the usual registry for all others.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

/**
 * Packs the package into `folder` and serves it.
 * @param {string} folder
 * @returns {Promise<{ url: string, close: () => void }>}
 */
export async function serveRegistry(folder) {
  const npm = (/** @type {string[]} */ ...args) => execFileSync('npm', args, { encoding: 'utf8' });
  const [packed] = JSON.parse(npm('pack', '--json', '--ignore-scripts', '--pack-destination', folder));
  const upstream = npm('config', 'get', 'registry').trim().replace(/\/$/, '');
  const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
  const { name, version } = manifest;

  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    if (path === `/${name}`) {
      const dist = { tarball: `${url}/${packed.filename}`, integrity: packed.integrity, shasum: packed.shasum };
      const { scripts: _, devDependencies: __, ...published } = manifest;
      const versions = { [version]: { ...published, dist } };
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ name, 'dist-tags': { latest: version }, versions }));
    } else if (path === `/${packed.filename}`) {
      response.end(readFileSync(join(folder, packed.filename)));
    } else {
      response.writeHead(307, { location: upstream + path }).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  const url = `http://127.0.0.1:${address.port}`;
  return { url, close: () => void server.close() };
}
