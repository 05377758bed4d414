import { Hono } from 'hono';
import { defineWatchers, type SlotWatch } from 'walwatch';
import { onlyOwn, sse } from 'walwatch/sse';

interface DB {
  users: { id: number; name: string; role_id: number };
}

export const watchers = defineWatchers<DB>()([['users', 'updated', { extraColumns: ['name', 'role_id'] }]]);

export function createApp(watch: SlotWatch<typeof watchers>): Hono {
  const app = new Hono();
  const live = sse(watch, {
    // A session may only follow the users of its role.
    authorize: onlyOwn('role_id', (request) => userOf(request)?.role_id),
    // A user may have 20 connections. A request without a user may have none.
    principal: (request) => userOf(request)?.id,
  });
  // POST for requests that are too long for a URL.
  app.on(['GET', 'POST'], '/live', (context) => live(context.req.raw));
  app.get('/readyz', (context) => {
    const health = watch.health(); // a standby is ready, and answers /live with 503 until it takes over
    return context.json(health, health.ready ? 200 : 503);
  });
  return app;
}

/** Use your session here. */
function userOf({ headers }: Request): { readonly id: number; readonly role_id: number } | undefined {
  const [, id, role] = /(?:^|; )session=(\d+)\.(\d+)/.exec(headers.get('cookie') ?? '') ?? [];
  return id === undefined ? undefined : { id: Number(id), role_id: Number(role) };
}
