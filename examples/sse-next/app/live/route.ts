import { sse } from 'walwatch/sse';
import { watch } from '../../watch.ts';

export const runtime = 'nodejs';
export const dynamic = 'force-dynamic';

export const GET = sse(watch, {
  // A session may follow the users of its own role, and nothing else.
  authorize: (request, { filter }) => typeof filter === 'object' && filter.role_id === roleOf(request),
  principal: (request) => String(roleOf(request)),
});

/** In place of your sessions. */
function roleOf({ headers }: Request): number | undefined {
  const cookie = /(?:^|; )role=(\d+)/.exec(headers.get('cookie') ?? '');
  return cookie ? Number(cookie[1]) : undefined;
}
