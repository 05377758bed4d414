import Fastify, { type FastifyInstance } from 'fastify';
import { defineWatchers, type SlotWatch } from 'walwatch';
import { onlyOwn, sse, toNodeHandler } from 'walwatch/sse';

interface DB {
  users: { id: number; name: string; role_id: number };
}

export const watchers = defineWatchers<DB>()([['users', 'updated', { extraColumns: ['name', 'role_id'] }]]);

export function createApp(watch: SlotWatch<typeof watchers>): FastifyInstance {
  // `close` does not wait for browsers.
  const app = Fastify({ forceCloseConnections: true });
  const live = toNodeHandler(
    sse(watch, {
      // A session may only follow the users of its role.
      authorize: onlyOwn('role_id', (request) => userOf(request)?.role_id),
      // A user may have 20 connections. A request without a user may have none.
      principal: (request) => userOf(request)?.id,
    }),
  );
  app.route({
    method: ['GET', 'POST'], // POST for requests that are too long for a URL
    url: '/live',
    handler: (request, reply) => {
      reply.hijack(); // from here on, sse() writes the response
      live(Object.assign(request.raw, { body: request.body }), reply.raw); // Fastify has already read the body
    },
  });
  app.get('/readyz', (_, reply) => {
    const health = watch.health(); // a standby is ready, and answers /live with 503 until it takes over
    return reply.code(health.ready ? 200 : 503).send(health);
  });
  return app;
}

/** Use your session here. */
function userOf({ headers }: Request): { readonly id: number; readonly role_id: number } | undefined {
  const [, id, role] = /(?:^|; )session=(\d+)\.(\d+)/.exec(headers.get('cookie') ?? '') ?? [];
  return id === undefined ? undefined : { id: Number(id), role_id: Number(role) };
}
