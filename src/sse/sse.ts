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
      throw error; // of the user's functions: nothing is served
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
      return refusal(403, `'principal' knows nobody for this request`);
    // Before authorize, which may ask a database: nobody has more of it than its connections.
    const release = given.principal ? places.take(String(principal)) : () => {};
    if (!release) {
      return refusal(429, `more than ${settings.connections} connections at once`, { 'retry-after': '30' });
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

  /** The subscriptions that a request asks for, or why it is not read. */
  async function read(request: Request): Promise<Question | Response> {
    const { method, headers, url } = request;
    if (method === 'GET') return readQuery(url, settings.subscriptions);
    if (method !== 'POST') return refusal(405, 'GET or POST only', { allow: 'GET, POST' });
    // A browser tells where a request is from; what does not tell is no page of another site.
    const site = headers.get('sec-fetch-site');
    const origin = headers.get('origin');
    if ((site === 'cross-site' || site === 'same-site') && !isAllowed(origin))
      return refusal(403, `the origin ${String(origin)} is not in the option 'cors'`);
    return readBody(request, settings.subscriptions);
  }

  function isAllowed(origin: string | null): boolean {
    return origin !== null && given.cors?.includes(origin) === true;
  }

  /** A browser asks first when a page of another origin sends JSON, or headers of its own. */
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
    const down = whyDown(); // by now
    if (down) return down;
    // A client that has gone meanwhile would never be seen to go.
    if (request.signal.aborted) return refusal(400, 'the client has gone');
    // One that is not allowed takes nothing from the others.
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
function resumed({ asked, refused }: Question, after: string | null): Question {
  if (after === null || after === '') return { asked, refused };
  return { asked: asked.map((one): Asked => ({ ...one, after })), refused };
}
