/** A Docker engine without an image, and no way to fetch one: the tests use the embedded server, and report it. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { startServer } from '../support/server.ts';
import { inSession } from '../support/template.ts';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** The requests of Docker's API that are used. https://docs.docker.com/reference/api/engine/ */
const withoutImages: RequestListener = ({ url = '', method }, response) => {
  const [status, body] = url.startsWith('/info')
    ? [200, { ServerVersion: '28.0.0', OperatingSystem: 'Linux', OSType: 'linux', Architecture: 'x86_64' }]
    : method === 'POST' && url.startsWith('/images/create')
      ? [500, { message: 'Get "https://registry-1.docker.io/v2/": no such host' }]
      : [404, { message: 'no such image' }];
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
};

test('Docker without the image: the embedded server, and one line that tells why', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'walwatch-engine-'));
  const socket = join(folder, 'docker.sock');
  const engine = createServer(withoutImages).listen(socket);
  await once(engine, 'listening');
  vi.stubEnv('DOCKER_HOST', `unix://${socket}`);
  vi.stubEnv('TESTCONTAINERS_HOST_OVERRIDE', '127.0.0.1');
  vi.stubEnv('WALWATCH_TEST_DATABASE_URL', '');
  vi.stubEnv('WALWATCH_TEST_DOCKER', 'on');
  const warn = vi.spyOn(console, 'warn').mockReturnValue();
  try {
    await using server = await startServer();
    const { rows } = await inSession(server.url, (client) => client.query('show wal_level'));
    expect(rows).toEqual([{ wal_level: 'logical' }]);
    expect(warn.mock.calls).toEqual([
      [
        expect.stringMatching(
          /^Docker answers, but cannot start a container of postgres:1\d \(.*no such host.*\): .+$/,
        ),
      ],
    ]);
  } finally {
    engine.closeAllConnections();
    engine.close();
    await rm(folder, { recursive: true });
  }
});
