import type { Watch } from '../types/watch.ts';
import type { Watchers } from '../types/watchers.ts';
import { judge } from './authorize.ts';
import { Hub } from './hub.ts';
import { identityOf } from './identity.ts';
import { type AnyOptions, resolve, type SseOptions } from './options.ts';
import { Places } from './places.ts';
import { type Asked, BadRequest, readQuery } from './query.ts';
import { declared, NotReady, type Wanted } from './wanted.ts';

const howToAllow =
  'nobody may subscribe: give sse() a function that returns true for what is allowed, as in ' +
  "sse(watch, { authorize: onlyOwn('role_id', (request) => userOf(request)?.role_id) })";

/**
 * Live pages: a web-standard handler that sends the events of a watch to browsers as server-sent events. Make it once,
 * where the watch is made. Nothing is served unless `authorize` returns true.
 *
 * @example
 * ```ts
 * const live = sse(watch, {
 *   authorize: onlyOwn('role_id', async (request) => (await userOf(request))?.role_id),
 *   principal: async (request) => (await userOf(request))?.id,
 * });
 * app.get('/live', (c) => live(c.req.raw)); // Hono
 * ```
 * @throws ConfigurationError when an option is wrong
 */
export function sse<W extends Watchers>(
  watch: Watch<W>,
  options: SseOptions<W>,
): (request: Request) => Promise<Response> {
  const given: AnyOptions = (options as AnyOptions | undefined) ?? {};
  const settings = resolve(given);
  const hub = new Hub(watch, settings);
  const places = new Places(settings.connections);

  return async (request) => {
    const answer = await respond(request).catch((error: unknown) => {
      if (error instanceof BadRequest) return refusal(400, error.message);
      if (error instanceof NotReady) return refusal(503, error.message, { 'retry-after': '2' });
      throw error; // of the user's functions: nothing is served
    });
    const origin = request.headers.get('origin');
    answer.headers.set('vary', given.cors ? 'Cookie, Authorization, Origin' : 'Cookie, Authorization');
    if (origin !== null && given.cors?.includes(origin)) {
      answer.headers.set('access-control-allow-origin', origin);
      answer.headers.set('access-control-allow-credentials', 'true');
    }
    return answer;
  };

  async function respond(request: Request): Promise<Response> {
    if (request.method !== 'GET') return refusal(405, 'GET only', { allow: 'GET' });
    const wanted = declared(watch, resumed(readQuery(request.url), request.headers.get('last-event-id')));
    const down = whyDown();
    if (down) return down;
    const principal = await given.principal?.(request);
    if (given.principal && (principal === undefined || principal === null || principal === ''))
      return refusal(403, `'principal' knows nobody for this request`);
    // Before authorize, which may ask a database: nobody has more of it than its connections.
    const release = given.principal ? places.take(String(principal)) : () => {};
    if (!release) {
      return refusal(429, `more than ${settings.connections} connections at once`, { 'retry-after': '30' });
    }
    let answer: Response | undefined;
    try {
      const identity = given.principal ? String(principal) : identityOf(request);
      answer = await connect(request, wanted, identity, release);
      return answer;
    } finally {
      if (answer?.status !== 200) release();
    }
  }

  function whyDown(): Response | undefined {
    const { state } = watch.status();
    return state === 'standby' || state === 'stopping' || state === 'stopped' || state === 'failed'
      ? refusal(503, `the watch is ${state}`, { 'retry-after': '5' })
      : undefined;
  }

  async function connect(request: Request, wanted: readonly Wanted[], identity: string, onEnd: () => void) {
    const asked = performance.now();
    const verdicts = given.authorize ? await judge(given.authorize, request, wanted) : wanted.map(() => false);
    const down = whyDown(); // by now
    if (down) return down;
    // A client that has gone meanwhile would never be seen to go.
    if (request.signal.aborted) return refusal(400, 'the client has gone');
    const denied = wanted.filter((_, at) => !verdicts[at]);
    for (const one of denied) hub.deny(identity, one);
    if (denied.length > 0) return refusal(403, given.authorize ? deniedText(denied[0]!) : howToAllow);
    const stream = hub.connect(wanted, { identity, asked, signal: request.signal, onEnd });
    return new Response(stream, {
      headers: {
        'content-type': 'text/event-stream',
        // No proxy keeps it, packs it or waits for more of it.
        'cache-control': 'private, no-store, no-transform',
        'x-accel-buffering': 'no',
        'x-content-type-options': 'nosniff',
      },
    });
  }
}

function deniedText({ watcher, filter }: Wanted): string {
  const rows = filter === undefined ? 'all rows' : JSON.stringify(filter);
  return `authorize does not allow '${watcher}' for ${rows}: it returns true for what is allowed`;
}

/** A browser that reconnects by itself says how far it has come in a header, and asks with the same URL. */
function resumed(asked: readonly Asked[], lastEventId: string | null): readonly Asked[] {
  return lastEventId === null || lastEventId === '' ? asked : asked.map((one) => ({ ...one, after: lastEventId }));
}

function refusal(status: number, reason: string, headers: Record<string, string> = {}): Response {
  return new Response(`${reason}\n`, {
    status,
    headers: {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'private, no-store',
      'x-content-type-options': 'nosniff',
      ...headers,
    },
  });
}
