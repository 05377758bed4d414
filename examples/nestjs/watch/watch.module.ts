import { ConfigurableModuleBuilder, Inject, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { createWatch, type WatchOptions } from 'walwatch';
import { Subscriber, WATCH } from './subscriber.ts';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<WatchOptions>()
  .setClassMethodName('forRoot') // and with it forRootAsync
  .setExtras({ isGlobal: true }, (module, { isGlobal }) => ({ ...module, global: isGlobal }))
  .build();

/** Injects the watch itself: `constructor(@InjectWatch() watch: SlotWatch<typeof watchers>)`. */
export const InjectWatch = () => Inject(WATCH);

@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: WATCH, inject: [MODULE_OPTIONS_TOKEN], useFactory: (options: WatchOptions) => createWatch(options) },
    Subscriber,
  ],
  exports: [WATCH],
})
export class WatchModule extends ConfigurableModuleClass {}
