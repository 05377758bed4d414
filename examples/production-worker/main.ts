/** A worker for production: probes, metrics, and a clean shutdown on SIGTERM. */
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
    case '/livez': // 503: restart the process
      probe(watch.health().live);
      break;
    case '/readyz': // 503: the worker does not do its work at the moment
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

// `stop()` finishes and acknowledges running handlers, then `closed` resolves. The probes answer until then.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void watch.stop());

void watch.start(); // not awaited: `closed` rejects with the same error, and the probes show the progress
await watch.closed.catch(() => (process.exitCode = 1)); // the watch has logged the error
server.close();
