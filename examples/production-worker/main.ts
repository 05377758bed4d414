/** A worker as it runs in production: probes, metrics, and a clean end at SIGTERM. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import * as promClient from 'prom-client';
import { collectMetrics, createWatch, defineWatchers } from 'walwatch';

const logger = pino();
const watchers = defineWatchers<{ orders: { id: number; total: number } }>()([
  ['orders', 'inserted', { extraColumns: ['total'] }],
]);
const watch = createWatch({ slot: 'production_worker', watchers, logger }); // connects to DATABASE_URL

watch.subscribe('orders:inserted', (event, { eventId }) => logger.info({ event, eventId }, 'a new order'), {
  name: 'fulfilment', // a label of the metrics, and the key of dead letters
  timeout: 30_000,
  onError: { attempts: 10, then: 'deadLetter' },
});

promClient.collectDefaultMetrics();
collectMetrics(watch, promClient);

async function answer(path: string | undefined, response: ServerResponse): Promise<void> {
  const probe = (good: boolean) => {
    response.writeHead(good ? 200 : 503, { 'content-type': 'application/json' });
    response.end(JSON.stringify(watch.health()));
  };
  switch (path) {
    case '/livez': // false: start the process anew
      probe(watch.health().live);
      break;
    case '/readyz': // false: it does not do its work at the moment
      probe(watch.health().ready);
      break;
    case '/metrics':
      response.setHeader('content-type', promClient.register.contentType);
      response.end(await promClient.register.metrics());
      break;
    default:
      response.writeHead(404).end();
  }
}

const server = createServer((request, response) => void answer(request.url, response));
server.listen(Number(process.env['PORT'] ?? 9400));
await once(server, 'listening');
logger.info({ port: (server.address() as AddressInfo).port }, 'listening');

// Finishes what runs, acknowledges it, and lets `closed` resolve. Until then the probes answer.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void watch.stop());

void watch.start(); // not awaited: `closed` has its error as well, and the probes tell how far it is
await watch.closed.catch(() => (process.exitCode = 1)); // logged by the watch
server.close();
