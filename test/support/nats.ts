/** Which NATS server the tests run against: the only file that decides it. */
import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node';
import { afterAll, beforeAll } from 'vitest';
import { connectTo, startBroker } from './broker.ts';
import { dockerAnswers, tryContainer } from './container.ts';

export interface Nats extends AsyncDisposable {
  readonly url: string;
}

/** A given server, else a container when a Docker engine answers, else the binary `nats-server` (Debian: nats-server). */
async function startNats(): Promise<Nats> {
  const url = process.env['WALWATCH_TEST_NATS_URL'];
  if (url) return { url, [Symbol.asyncDispose]: async () => {} };
  const contained = (await dockerAnswers()) ? await startInContainer() : undefined;
  return contained ?? startBroker();
}

async function startInContainer(): Promise<Nats | undefined> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const container = await tryContainer('nats:2', () =>
    new GenericContainer('nats:2')
      .withCommand(['-js'])
      .withExposedPorts(4222)
      .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
      .start(),
  );
  return (
    container && {
      url: `nats://${container.getHost()}:${container.getMappedPort(4222)}`,
      [Symbol.asyncDispose]: async () => {
        await container.stop();
      },
    }
  );
}

/** The server of a test file, and connections to it that end with the file. */
export function useNats(): Pick<Nats, 'url'> & { connect(options?: NodeConnectionOptions): Promise<NatsConnection> } {
  let nats: Nats | undefined;
  const connections: NatsConnection[] = [];
  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(async () => {
    await Promise.all(connections.map((connection) => connection.close()));
    await nats?.[Symbol.asyncDispose]();
  });
  return {
    get url() {
      return nats!.url;
    },
    async connect(options) {
      const connection = await connectTo(nats!.url, options);
      connections.push(connection);
      return connection;
    },
  };
}
