import { streamParser } from './stream-parser.ts';
import type { Denial, Ending, Entry, Hearing, Open } from './told.ts';
import { longUrl, placesOf, stringify } from './watch-list.ts';

/** The part of `fetch` that is used, declared here so that this file needs neither the DOM's nor Node's types. */
export type Fetch = (url: string, init: never) => Promise<Answer>;

interface Answer {
  readonly status: number;
  readonly url?: string;
  readonly headers: { get(name: string): string | null };
  readonly body: { getReader(): { read(): Promise<{ done: boolean; value?: any }> } } | null;
  text(): Promise<string>;
}

/** The status of a server or proxy that does not accept the URL, or the method. */
const refusesUrl = [414, 431];
const refusesPost = [404, 405, 415, 501];

export function overFetch(
  fetch: Fetch,
  withCredentials: boolean,
  url: () => Promise<string>,
  headers: () => Promise<Readonly<Record<string, string>>>,
): Open {
  /** The method that worked after the other one was refused. */
  let prefers: 'GET' | 'POST' | undefined;

  async function answer(entries: readonly Entry[], signal: AbortSignal): Promise<Answer | Ending> {
    const [base, own] = [new URL(await url()), await headers()];
    const watch = placesOf(entries);
    const long = longUrl(base, watch);
    const ask = (method: 'GET' | 'POST') => {
      const post = method === 'POST';
      const init = {
        method,
        // JSON for refusals: it has the reason for each subscription.
        headers: {
          accept: 'text/event-stream, application/json',
          ...(post && { 'content-type': 'application/json' }),
          ...own,
        },
        credentials: withCredentials ? 'include' : 'same-origin',
        cache: 'no-store',
        signal,
        ...(post && { body: stringify({ watch }) }),
      };
      return fetch(post ? base.href : long, init as never);
    };
    const first = prefers ?? (long.length > 2000 ? 'POST' : 'GET');
    const answered = await ask(first);
    if (!(first === 'GET' ? refusesUrl : refusesPost).includes(answered.status)) return answered;
    const second = first === 'GET' ? 'POST' : 'GET';
    // Most servers and proxies accept 8 kB.
    if (second === 'GET' && long.length > 16_000) return tooLong(first, answered.status);
    const again = await ask(second);
    if ([...refusesUrl, ...refusesPost].includes(again.status)) {
      return answered.status === again.status ? again : tooLong(first, answered.status, second, again.status);
    }
    prefers = second;
    return again;
  }

  return (entries, hear) => {
    const abortion = new AbortController();
    const run = async () => {
      const answered = await answer(entries, abortion.signal);
      if ('again' in answered) return answered;
      if (!isStream(answered)) return refusedBy(answered);
      return read(answered, hear);
    };
    void run().then(
      (ending) => hear.end(ending),
      (error: unknown) => hear.end({ reason: textOf(error), again: 'soon' }),
    );
    return () => abortion.abort();
  };
}

const tooLong = (...tried: (string | number)[]): Ending => ({
  status: tried[1] as number,
  reason: `this many subscriptions need a POST request, which the server or a proxy refuses (${tried.join(' ')}): let POST requests reach the handler of sse()`,
  again: 'never',
});

const isStream = ({ status, headers }: Answer) =>
  status === 200 && /^text\/event-stream\b/i.test(headers.get('content-type') ?? '');

async function read({ body }: Answer, hear: Hearing): Promise<Ending> {
  if (!body)
    return { reason: 'this fetch has no response streams (as in React Native): pass an EventSource', again: 'never' };
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const push = streamParser(hear.message, hear.retry);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { reason: 'the stream has ended', again: 'soon' };
    hear.alive();
    push(decoder.decode(value, { stream: true }));
  }
}

async function refusedBy(answer: Answer): Promise<Ending> {
  const { status, headers } = answer;
  const type = headers.get('content-type') ?? 'no content type';
  const text = await answer.text();
  const seconds = Number(headers.get('retry-after'));
  const ending: Ending = {
    status,
    reason: /^text\/plain\b/.test(type) ? text.slice(0, 1000).trim() : `the answer is ${status} with ${type}`,
    again: againAfter(status),
    ...(seconds > 0 && { after: 1000 * seconds }),
  };
  if (!/^application\/json\b/.test(type)) return ending;
  try {
    const { refused } = JSON.parse(text) as { refused?: (Denial & { for: number[] })[] };
    // JSON that does not come from sse().
    if (!Array.isArray(refused)) return ending;
    return { ...ending, refused, reason: refused.map(({ reason }) => reason).join('\n') };
  } catch {
    return ending;
  }
}

/** An HTML page with status 200 is a login page or a fallback for unknown paths: the user may sign in later. */
function againAfter(status: number): Ending['again'] {
  if ([408, 425, 429].includes(status) || status >= 500) return 'soon';
  return [200, 401, 403, 404, 410, 421].includes(status) ? 'later' : 'never';
}

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
