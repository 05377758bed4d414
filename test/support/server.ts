/** Which PostgreSQL the tests run against: the only file that decides it. */
import { type Version, wantedVersion } from './binaries.ts';
import { serverSettings, startCluster } from './cluster.ts';

export type Choice =
  { readonly kind: 'url'; readonly url: string } | { readonly kind: 'docker' | 'embedded'; readonly version: Version };

/** A server that is named, else a container when a Docker engine answers, else the embedded binaries. */
export function chooseServer(environment: NodeJS.ProcessEnv, dockerAnswers: boolean): Choice {
  const url = environment['WALWATCH_TEST_DATABASE_URL'];
  if (url) return { kind: 'url', url };
  return { kind: dockerAnswers ? 'docker' : 'embedded', version: wantedVersion(environment) };
}

export interface Server extends AsyncDisposable {
  /** Of a superuser. */
  readonly url: string;
}

export async function startServer(): Promise<Server> {
  const choice = chooseServer(process.env, await dockerAnswers());
  switch (choice.kind) {
    case 'url':
      return { url: choice.url, [Symbol.asyncDispose]: async () => {} };
    case 'docker':
      return startContainer(choice.version);
    case 'embedded':
      return startCluster({ version: choice.version });
  }
}

async function startContainer(version: Version): Promise<Server> {
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
  const settings = Object.entries(serverSettings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const container = await new PostgreSqlContainer(`postgres:${version}`).withCommand(['postgres', ...settings]).start();
  return {
    url: container.getConnectionUri(),
    [Symbol.asyncDispose]: async () => {
      await container.stop();
    },
  };
}

/** Asks testcontainers, which knows of DOCKER_HOST, contexts, rootless engines and more. */
async function dockerAnswers(): Promise<boolean> {
  const { getContainerRuntimeClient } = await import('testcontainers');
  return getContainerRuntimeClient().then(
    () => true,
    () => false,
  );
}
