/** Which PostgreSQL the tests run against: the only file that decides it. */
import { wantedVersion } from './binaries.ts';
import { serverSettings, startCluster } from './cluster.ts';
import { dockerAnswers, tryContainer } from './container.ts';
import type { Version } from './postgres-packages.ts';

export type Choice =
  { readonly kind: 'url'; readonly url: string } | { readonly kind: 'docker' | 'embedded'; readonly version: Version };

/** A given server, else a container when a Docker engine answers, else the embedded binaries. */
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
  if (choice.kind === 'url') return { url: choice.url, [Symbol.asyncDispose]: async () => {} };
  const contained = choice.kind === 'docker' ? await startInContainer(choice.version) : undefined;
  return contained ?? startCluster({ version: choice.version });
}

async function startInContainer(version: Version): Promise<Server | undefined> {
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
  const image = `postgres:${version}`;
  const settings = Object.entries(serverSettings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const container = await tryContainer(image, () =>
    new PostgreSqlContainer(image).withCommand(['postgres', ...settings]).start(),
  );
  return (
    container && {
      url: container.getConnectionUri(),
      [Symbol.asyncDispose]: async () => {
        await container.stop();
      },
    }
  );
}
