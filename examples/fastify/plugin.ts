import fp from 'fastify-plugin';
import { createWatch, type SlotWatch, type WatchOptions } from 'walwatch';
import type { watchers } from './watchers.ts';

declare module 'fastify' {
  interface FastifyInstance {
    readonly watch: SlotWatch<typeof watchers>;
  }
}

/** Adds a watch to the server, starts and stops it with the server, and adds its probes. Register it before the plugins that subscribe. */
export const watchPlugin = fp<WatchOptions<typeof watchers>>(
  (app, options, done) => {
    const watch = createWatch({ logger: app.log, ...options });
    app.decorate('watch', watch);
    // All plugins are loaded by now and have subscribed. `start()` is not awaited, because Fastify waits for this hook before it
    // listens, and `start()` waits while the database is down or another worker has the slot. `/readyz` and the log show that.
    app.addHook('onReady', (ready) => {
      void watch.start();
      ready();
    });
    app.addHook('onClose', () => watch.stop());
    for (const [path, probe] of [
      ['/livez', 'live'],
      ['/readyz', 'ready'],
    ] as const) {
      app.get(path, (_, reply) => {
        const health = watch.health();
        return reply.code(health[probe] ? 200 : 503).send(health);
      });
    }
    done();
  },
  { name: 'walwatch' },
);
