import { Hono } from 'hono';
import { defineWatchers, type Watch } from 'walwatch';
import { sse } from 'walwatch/sse';

interface DB {
  users: { id: number; name: string; role_id: number };
}

export const watchers = defineWatchers<DB>()([['users', 'updated', { extraColumns: ['name', 'role_id'] }]]);

export function createApp(watch: Watch<typeof watchers>): Hono {
  const app = new Hono();
  const live = sse(watch, {
    // A session may follow the users of its own role, and nothing else.
    authorize: (request, { filter }) => typeof filter === 'object' && filter.role_id === roleOf(request),
    principal: (request) => String(roleOf(request)),
  });
  // GET, and POST for what is too long for a URL.
  app.on(['GET', 'POST'], '/live', (context) => live(context.req.raw));
  return app;
}

/** In place of your sessions. */
function roleOf({ headers }: Request): number | undefined {
  const cookie = /(?:^|; )role=(\d+)/.exec(headers.get('cookie') ?? '');
  return cookie ? Number(cookie[1]) : undefined;
}
