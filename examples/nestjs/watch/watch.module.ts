import { ConfigurableModuleBuilder, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { createWatch, type WatchOptions } from 'walwatch';
import { Subscriber, WATCH } from './subscriber.ts';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<WatchOptions>()
  .setClassMethodName('forRoot') // this also adds forRootAsync
  .setExtras({ isGlobal: true }, (module, { isGlobal }) => ({ ...module, global: isGlobal }))
  .build();

/** Creates the watch and starts it with the application. Inject it into a provider with `@Inject(WATCH)`. */
@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: WATCH, inject: [MODULE_OPTIONS_TOKEN], useFactory: (options: WatchOptions) => createWatch(options) },
    Subscriber,
  ],
  exports: [WATCH],
})
export class WatchModule extends ConfigurableModuleClass {}
