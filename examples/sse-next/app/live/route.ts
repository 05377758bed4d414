import { onlyOwn, sse } from 'walwatch/sse';
import { getWatch } from '../../watch.ts';

export const runtime = 'nodejs';
export const dynamic = 'force-dynamic';

const makeLive = () =>
  sse(getWatch(), {
    // A session may follow the users of its own role, and nothing else.
    authorize: onlyOwn('role_id', (request) => userOf(request)?.role_id),
    // A user has 20 connections at most, and who is none has none.
    principal: (request) => userOf(request)?.id,
  });

let made: ReturnType<typeof makeLive> | undefined;
const live = (request: Request) => (made ??= makeLive())(request);
export { live as GET, live as POST }; // POST for what is too long for a URL

/** In place of your sessions. */
function userOf({ headers }: Request): { readonly id: number; readonly role_id: number } | undefined {
  const [, id, role] = /(?:^|; )session=(\d+)\.(\d+)/.exec(headers.get('cookie') ?? '') ?? [];
  return id === undefined ? undefined : { id: Number(id), role_id: Number(role) };
}
