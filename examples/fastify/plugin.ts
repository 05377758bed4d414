import fp from 'fastify-plugin';
import { createWatch, type SlotWatch, type WatchOptions } from 'walwatch';
import type { watchers } from './watchers.ts';

declare module 'fastify' {
  interface FastifyInstance {
    readonly watch: SlotWatch<typeof watchers>;
  }
}

/** Decorates the server with a watch that lives as long as the server, and adds its probes. Register it before what subscribes. */
export const watchPlugin = fp<WatchOptions<typeof watchers>>(
  (app, options, done) => {
    const watch = createWatch({ logger: app.log, ...options });
    app.decorate('watch', watch);
    // When every plugin is loaded, and so has subscribed. Not awaited, because Fastify waits for this hook before it listens:
    // `start()` lasts as long as the database is down or another worker has the slot. `/readyz` tells, and `app.log`.
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
