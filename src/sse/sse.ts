import type { Watch } from '../types/watch.ts';
import type { Watchers } from '../types/watchers.ts';
import { judge } from './authorize.ts';
import { Hub } from './hub.ts';
import { identityOf } from './identity.ts';
import { type AnyOptions, resolve, type SseOptions } from './options.ts';
import { Places } from './places.ts';
import { type Asked, BadRequest, type Question, readBody, readQuery, type Refusal } from './query.ts';
import { refusal, refusedAnswer } from './refusal.ts';
import { declared, NotReady, type Wanted } from './wanted.ts';

const howToAllow =
  'every subscription is denied, because sse() has no authorize function. Pass a function that returns true for each allowed subscription: ' +
  "sse(watch, { authorize: onlyOwn('role_id', (request) => userOf(request)?.role_id) })";

/**
 * A web-standard handler for live pages: it sends the events of a watch to browsers as server-sent events. Create it once, next
 * to the watch. Nothing is served unless `authorize` returns true.
 *
 * @example
 * ```ts
 * const live = sse(watch, {
 *   authorize: onlyOwn('role_id', async (request) => (await userOf(request))?.role_id),
 *   principal: async (request) => (await userOf(request))?.id,
 * });
 * app.on(['GET', 'POST'], '/live', (c) => live(c.req.raw)); // Hono
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
      if (error instanceof BadRequest) return refusal(error.status, error.message);
      if (error instanceof NotReady) return refusal(503, error.message, { 'retry-after': '2' });
      throw error; // from the user's functions: nothing is served
    });
    const origin = request.headers.get('origin');
    answer.headers.set('vary', given.cors ? 'Cookie, Authorization, Origin' : 'Cookie, Authorization');
    if (isAllowed(origin)) {
      answer.headers.set('access-control-allow-origin', origin!);
      answer.headers.set('access-control-allow-credentials', 'true');
    }
    return answer;
  };

  async function respond(request: Request): Promise<Response> {
    if (request.method === 'OPTIONS') return preflight(request.headers);
    const question = await read(request);
    if (question instanceof Response) return question;
    const known = declared(watch, resumed(question, request.headers.get('last-event-id')));
    if (known.wanted.length === 0) return refusedAnswer(known.refused, request.headers.get('accept'));
    const down = whyDown();
    if (down) return down;
    const principal = await given.principal?.(request);
    if (given.principal && (principal === undefined || principal === null || principal === ''))
      return refusal(403, `the option 'principal' returned no user for this request`);
    // Before authorize, which may query a database, so that one user cannot cause more queries than its connections allow.
    const release = given.principal ? places.take(String(principal)) : () => {};
    if (!release) {
      return refusal(429, `this user already has ${settings.connections} open connections`, { 'retry-after': '30' });
    }
    let answer: Response | undefined;
    try {
      const identity = given.principal ? String(principal) : identityOf(request);
      answer = await connect(request, known.wanted, known.refused, identity, release);
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

  /** Reads the subscriptions of a request, or returns the answer that refuses it. */
  async function read(request: Request): Promise<Question | Response> {
    const { method, headers, url } = request;
    if (method === 'GET') return readQuery(url, settings.subscriptions);
    if (method !== 'POST') return refusal(405, 'GET or POST only', { allow: 'GET, POST' });
    // Browsers send the origin of a request. A request without it does not come from a page of another site.
    const site = headers.get('sec-fetch-site');
    const origin = headers.get('origin');
    if ((site === 'cross-site' || site === 'same-site') && !isAllowed(origin))
      return refusal(403, `the origin ${String(origin)} is not in the option 'cors'`);
    return readBody(request, settings.subscriptions);
  }

  function isAllowed(origin: string | null): boolean {
    return origin !== null && given.cors?.includes(origin) === true;
  }

  /** Answers a CORS preflight: browsers send one before a page of another origin may send JSON or custom headers. */
  function preflight(headers: Headers): Response {
    const answer = new Response(null, { status: 204, headers: { 'cache-control': 'private, no-store' } });
    if (!isAllowed(headers.get('origin'))) return answer;
    answer.headers.set('access-control-allow-methods', 'GET, POST');
    answer.headers.set('access-control-allow-headers', headers.get('access-control-request-headers') ?? '');
    return answer;
  }

  async function connect(
    request: Request,
    declared: readonly Wanted[],
    unknown: readonly Refusal[],
    identity: string,
    onEnd: () => void,
  ) {
    const asked = performance.now();
    const verdicts = given.authorize ? await judge(given.authorize, request, declared) : [];
    const down = whyDown(); // again, because `authorize` may have taken long
    if (down) return down;
    // The signal has already fired, so the hub would never notice that this client has disconnected.
    if (request.signal.aborted) return refusal(400, 'the client has disconnected');
    // A denied subscription does not affect the others.
    const wanted = declared.filter((_, at) => verdicts[at] === true);
    const denied = declared.filter((_, at) => verdicts[at] !== true);
    for (const one of denied) hub.deny(identity, one);
    const reasonOf = given.authorize ? deniedText : () => howToAllow;
    const refused = [
      ...unknown,
      ...denied.map((one): Refusal => ({ index: one.index, code: 'DENIED', reason: reasonOf(one) })),
    ];
    if (wanted.length === 0) return refusedAnswer(refused, request.headers.get('accept'));
    const stream = hub.connect(wanted, refused, { identity, asked, signal: request.signal, onEnd });
    return new Response(stream, {
      headers: {
        'content-type': 'text/event-stream',
        // Proxies must not cache, compress or buffer the stream.
        'cache-control': 'private, no-store, no-transform',
        'x-accel-buffering': 'no',
        'x-content-type-options': 'nosniff',
      },
    });
  }
}

function deniedText({ watcher, filter }: Wanted): string {
  const rows = filter === undefined ? 'all rows' : JSON.stringify(filter);
  return `authorize denied '${watcher}' for ${rows}: it did not return true`;
}

/** A browser's EventSource reconnects with the same URL and sends its position in a header. */
function resumed({ asked, refused }: Question, after: string | null): Question {
  if (after === null || after === '') return { asked, refused };
  return { asked: asked.map((one): Asked => ({ ...one, after })), refused };
}
