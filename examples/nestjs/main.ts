/** A NestJS application (here without HTTP) whose services have methods that are called for changes. */
import 'reflect-metadata';
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

/** Where an application would have its ConfigService. */
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
console.log('Ctrl-C stops it');
try {
  await Promise.race([app.get<SlotWatch>(WATCH).closed, interrupted]);
} finally {
  // app.enableShutdownHooks() does it as well, but ends the process before this example's database could be stopped.
  await app.close();
  await app.get(Pool).end();
}
