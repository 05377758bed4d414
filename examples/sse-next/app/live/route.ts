import { onlyOwn, sse } from 'walwatch/sse';
import { getWatch } from '../../watch.ts';

export const runtime = 'nodejs';
export const dynamic = 'force-dynamic';

const makeLive = () =>
  sse(getWatch(), {
    // A session may only follow the users of its role.
    authorize: onlyOwn('role_id', (request) => userOf(request)?.role_id),
    // A user may have 20 connections. A request without a user may have none.
    principal: (request) => userOf(request)?.id,
  });

let made: ReturnType<typeof makeLive> | undefined;
const live = (request: Request) => (made ??= makeLive())(request);
export { live as GET, live as POST }; // POST for requests that are too long for a URL

/** Use your session here. */
function userOf({ headers }: Request): { readonly id: number; readonly role_id: number } | undefined {
  const [, id, role] = /(?:^|; )session=(\d+)\.(\d+)/.exec(headers.get('cookie') ?? '') ?? [];
  return id === undefined ? undefined : { id: Number(id), role_id: Number(role) };
}
