import type { FilterOf, WatcherName } from '../types/delivery.ts';
import { type ConfigurationIssue, throwIssues } from '../errors.ts';
import { longestTimeout, unknownKeys } from '../options.ts';
import type { Watch } from '../types/watch.ts';
import type { Watchers } from '../types/watchers.ts';
import { Hub, type HubSettings } from './hub.ts';
import { type Asked, BadRequest, type Question, readBody, readQuery, type Refusal } from './query.ts';
import { refusal, refusedAnswer } from './refusal.ts';
import { declared, NotReady, type Wanted } from './wanted.ts';

/** Options of `sse()`. */
export interface SseOptions<W extends Watchers = Watchers> {
  /** Asked for each subscription of each connection: nothing is served unless it returns true. A filter's values are as the
   *  client sent them: `42` or `'42'`. Undefined: all rows. */
  readonly authorize: (
    request: Request,
    wanted: {
      [N in WatcherName<W>]: { readonly watcher: N; readonly filter: FilterOf<W, N> | undefined };
    }[WatcherName<W>],
  ) => boolean | Promise<boolean>;
  /** Milliseconds between heartbeats, by which a client knows that its stream lives. Default 15 000. */
  readonly heartbeat?: number;
  /** Events kept for `Last-Event-ID`. Default 10 000. */
  readonly replay?: number;
  /** Who a request is from, so that `connections` bounds what one may open. Default: nobody is bounded. */
  readonly principal?: (request: Request) => string | Promise<string>;
  /** Connections at once of one principal. Default 20. */
  readonly connections?: number;
  /** Subscriptions of one connection. More are refused, each by itself. Default 100. */
  readonly subscriptions?: number;
  /** Bytes that may wait for one client; above it the connection is cut. Default 1 MiB. */
  readonly clientBuffer?: number;
  /** Milliseconds until a connection is ended, so that the client comes back and `authorize` is asked again. Default an hour. */
  readonly maxAge?: number;
  /** Origins of other sites that may read: `['https://app.example.org']`. Default: none. */
  readonly cors?: readonly string[];
}

const defaults = {
  heartbeat: 15_000,
  replay: 10_000,
  connections: 20,
  subscriptions: 100,
  clientBuffer: 1024 * 1024,
  maxAge: 3_600_000,
};
type Settings = HubSettings & Pick<typeof defaults, 'connections' | 'subscriptions'>;
type AnyOptions = Partial<SseOptions<any>>;

const howToAllow =
  'nobody may subscribe: give sse() a function that returns true for what is allowed, as in ' +
  'sse(watch, { authorize: (request, { watcher, filter }) => … })';

/**
 * Live pages: a web-standard handler that sends the events of a watch to browsers as server-sent events. Make it once,
 * where the watch is made. Nothing is served unless `authorize` returns true.
 *
 * @example
 * ```ts
 * const live = sse(watch, {
 *   authorize: async (request, { watcher, filter }) => watcher === 'users:updated' && (await mayRead(request, filter)),
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
  const open = new Map<string, number>();

  return async (request) => {
    const answer = await respond(request).catch((error: unknown) => {
      if (error instanceof BadRequest) return refusal(error.status, error.message);
      if (error instanceof NotReady) return refusal(503, error.message, { 'retry-after': '2' });
      throw error; // of the user's functions: nothing is served
    });
    const origin = request.headers.get('origin');
    if (given.cors) answer.headers.append('vary', 'origin');
    if (isAllowed(origin)) {
      answer.headers.set('access-control-allow-origin', origin!);
      answer.headers.set('access-control-allow-credentials', 'true');
    }
    return answer;
  };

  async function respond(request: Request): Promise<Response> {
    const { method, headers } = request;
    if (method === 'OPTIONS') return preflight(headers);
    if (method !== 'GET' && method !== 'POST') return refusal(405, 'GET or POST only', { allow: 'GET, POST' });
    // A browser tells where a POST is from; what does not tell is no page of another site.
    const site = method === 'POST' && headers.get('sec-fetch-site');
    if ((site === 'cross-site' || site === 'same-site') && !isAllowed(headers.get('origin')))
      return refusal(403, `the origin ${String(headers.get('origin'))} is not one of the option 'cors'`);
    const question =
      method === 'GET'
        ? readQuery(request.url, settings.subscriptions)
        : await readBody(request, settings.subscriptions);
    const known = declared(watch, resumed(question, headers.get('last-event-id')));
    const { wanted, refused } = await judge(request, known.wanted, known.refused);
    if (wanted.length === 0) return refusedAnswer(refused, headers.get('accept'));
    const principal = await given.principal?.(request);
    const { state } = watch.status();
    if (state === 'standby' || state === 'stopping' || state === 'stopped' || state === 'failed')
      return refusal(503, `the watch is ${state}`, { 'retry-after': '5' });
    // A client that has gone meanwhile would never be seen to go.
    if (request.signal.aborted) return refusal(400, 'the client has gone');
    const release = take(principal);
    if (!release) {
      return refusal(429, `more than ${settings.connections} connections at once`, { 'retry-after': '30' });
    }
    let stream: ReadableStream<Uint8Array>;
    try {
      stream = hub.connect(wanted, refused, release);
    } catch (error) {
      release();
      throw error;
    }
    return new Response(stream, {
      headers: {
        'content-type': 'text/event-stream',
        // No proxy keeps it, packs it or waits for more of it.
        'cache-control': 'no-cache, no-transform',
        'x-accel-buffering': 'no',
        'x-content-type-options': 'nosniff',
      },
    });
  }

  /** Parts what is allowed from what is not: one that is refused takes nothing from the others. */
  async function judge(request: Request, declared: readonly Wanted[], refused: readonly Refusal[]) {
    const { authorize } = given;
    const verdicts = await Promise.all(
      declared.map(async ({ watcher, filter }) => (await authorize?.(request, { watcher, filter })) === true),
    );
    const denied = declared
      .filter((_, at) => !verdicts[at])
      .map(({ index, watcher, filter }): Refusal => {
        const rows = filter === undefined ? 'all rows' : JSON.stringify(filter);
        const reason = authorize
          ? `authorize does not allow '${watcher}' for ${rows}: it returns true for what is allowed`
          : howToAllow;
        return { index, code: 'DENIED', reason };
      });
    return { wanted: declared.filter((_, at) => verdicts[at]), refused: [...refused, ...denied] };
  }

  function isAllowed(origin: string | null): boolean {
    return origin !== null && given.cors?.includes(origin) === true;
  }

  /** A browser asks first when a page of another origin sends JSON or headers of its own. */
  function preflight(headers: Headers): Response {
    const answer = new Response(null, { status: 204, headers: { 'cache-control': 'no-store' } });
    if (!isAllowed(headers.get('origin'))) return answer;
    answer.headers.set('access-control-allow-methods', 'GET, POST');
    answer.headers.set('access-control-allow-headers', headers.get('access-control-request-headers') ?? '');
    return answer;
  }

  /** Takes one of the principal's connections, and returns what gives it back. */
  function take(principal: string | undefined): (() => void) | undefined {
    if (principal === undefined) return () => {};
    const count = open.get(principal) ?? 0;
    if (count >= settings.connections) return undefined;
    open.set(principal, count + 1);
    return () => {
      const left = open.get(principal)! - 1;
      if (left === 0) open.delete(principal);
      else open.set(principal, left);
    };
  }
}

/** A browser that reconnects by itself says how far it has come in a header, and asks with the same URL. */
function resumed({ asked, refused }: Question, after: string | null): Question {
  return after === null || after === ''
    ? { asked, refused }
    : { asked: asked.map((one): Asked => ({ ...one, after })), refused };
}

function resolve(given: AnyOptions): Settings {
  const issues: ConfigurationIssue[] = [];
  const issue = (message: string, solution: string) => issues.push({ message: `sse: ${message}`, solution });
  const known = ['authorize', 'principal', 'cors', ...Object.keys(defaults)];
  unknownKeys(given, known, 'sse option', issues);
  const whole = (name: keyof typeof defaults, least: number, most: number) => {
    const value = given[name] ?? defaults[name];
    if (!Number.isInteger(value) || value < least || value > most)
      issue(`${name} is a whole number from ${least} to ${most}`, `Default ${defaults[name]}.`);
    return value;
  };
  for (const name of ['authorize', 'principal'] as const) {
    if (given[name] !== undefined && typeof given[name] !== 'function')
      issue(`${name} is a function`, `${name}: (request) => …`);
  }
  if (given.connections !== undefined && given.principal === undefined)
    issue('connections are counted by principal', 'principal: (request) => userOf(request).id');
  if (given.cors !== undefined && !(Array.isArray(given.cors) && given.cors.every(isOrigin)))
    issue('cors is a list of origins', "cors: ['https://app.example.org']");
  const settings = {
    heartbeat: whole('heartbeat', 1, longestTimeout),
    replay: whole('replay', 0, 10_000_000),
    connections: whole('connections', 1, Number.MAX_SAFE_INTEGER),
    subscriptions: whole('subscriptions', 1, 10_000),
    clientBuffer: whole('clientBuffer', 1024, Number.MAX_SAFE_INTEGER),
    maxAge: whole('maxAge', 1, Number.MAX_SAFE_INTEGER),
  };
  throwIssues(issues);
  return settings;
}

const isOrigin = (given: unknown) =>
  typeof given === 'string' && URL.canParse(given) && new URL(given).origin === given;
