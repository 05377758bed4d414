/** A NestJS application without an HTTP platform, but with probes. Methods of its services are called for changes. */
import 'reflect-metadata';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Pool } from 'pg';
import type { SlotWatch } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { OrdersService } from './orders.service.ts';
import { WATCH } from './watch/subscriber.ts';
import { WatchModule } from './watch/watch.module.ts';
import { tables, watchers } from './watchers.ts';

await using database = await openDatabase(tables);

/** Use your ConfigService here. */
const config = Symbol('config');
@Module({ providers: [{ provide: config, useValue: { url: database.url } }], exports: [config] })
class ConfigModule {}

@Module({
  imports: [
    ConfigModule,
    WatchModule.forRootAsync({
      imports: [ConfigModule],
      inject: [config],
      useFactory: ({ url }: { url: string }) => ({ connection: url, slot: 'example_nestjs', watchers }),
    }),
  ],
  providers: [
    {
      provide: Pool,
      inject: [config],
      useFactory: ({ url }: { url: string }) => new Pool({ connectionString: url }),
    },
    OrdersService,
  ],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
const watch = app.get<SlotWatch>(WATCH);

// With @nestjs/platform-express or -fastify, write a controller instead and inject the watch.
const probes = createServer(({ url }, response) => {
  const health = watch.health();
  const good = url === '/livez' ? health.live : health.ready;
  response.writeHead(good ? 200 : 503, { 'content-type': 'application/json' }).end(JSON.stringify(health));
});
probes.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1');
await once(probes, 'listening');
console.log(`listening on http://127.0.0.1:${(probes.address() as AddressInfo).port}, press Ctrl-C to stop`);
try {
  await Promise.race([watch.closed, interrupted]);
} finally {
  probes.close();
  // app.enableShutdownHooks() also calls this, but it ends the process before this example can stop its database.
  await app.close();
  await app.get(Pool).end();
}
