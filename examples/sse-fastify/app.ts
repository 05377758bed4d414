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
      // A session may follow the users of its own role, and nothing else.
      authorize: onlyOwn('role_id', (request) => userOf(request)?.role_id),
      // A user has 20 connections at most, and who is none has none.
      principal: (request) => userOf(request)?.id,
    }),
  );
  app.route({
    method: ['GET', 'POST'], // POST for what is too long for a URL
    url: '/live',
    handler: (request, reply) => {
      reply.hijack(); // the answer is ours from here
      live(Object.assign(request.raw, { body: request.body }), reply.raw); // Fastify has read the body
    },
  });
  app.get('/readyz', (_, reply) => {
    const health = watch.health(); // a standby is ready, and answers /live with 503 until it takes over
    return reply.code(health.ready ? 200 : 503).send(health);
  });
  return app;
}

/** In place of your sessions. */
function userOf({ headers }: Request): { readonly id: number; readonly role_id: number } | undefined {
  const [, id, role] = /(?:^|; )session=(\d+)\.(\d+)/.exec(headers.get('cookie') ?? '') ?? [];
  return id === undefined ? undefined : { id: Number(id), role_id: Number(role) };
}
