import fp from 'fastify-plugin';
import { createWatch, type SlotWatch, type WatchOptions } from 'walwatch';
import type { watchers } from './watchers.ts';

declare module 'fastify' {
  interface FastifyInstance {
    readonly watch: SlotWatch<typeof watchers>;
  }
}

/** Decorates the server with a watch that lives as long as the server. Register it before what subscribes. */
export const watchPlugin = fp<WatchOptions<typeof watchers>>(
  (app, options, done) => {
    const watch = createWatch({ logger: app.log, ...options });
    app.decorate('watch', watch);
    // When every plugin is loaded, and so has subscribed. A database that is down is waited for, up to Fastify's pluginTimeout.
    app.addHook('onReady', () => watch.start());
    app.addHook('onClose', () => watch.stop());
    done();
  },
  { name: 'walwatch' },
);
