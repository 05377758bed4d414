/** Server-sent events as the HTML standard of the WHATWG defines their parsing. */
import { until } from './until.ts';

type Handler = (request: Request) => Promise<Response>;

export interface Message {
  readonly type: string;
  readonly data: string;
  readonly lastEventId: string;
}

/** Parses a stream: `push` returns the messages that are complete. */
export class StreamParser {
  lastEventId: string;
  retry: number | undefined;
  comments = 0;
  #rest = '';
  #id: string;
  #type = '';
  #data: string[] = [];

  constructor(lastEventId = '') {
    this.lastEventId = this.#id = lastEventId;
  }

  push(text: string): Message[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): Message[] {
    if (line === '') return this.#dispatch();
    const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!;
    if (field === '') this.comments++;
    else if (field === 'id') this.#id = value;
    else if (field === 'event') this.#type = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'retry') this.retry = Number(value);
    return [];
  }

  #dispatch(): Message[] {
    this.lastEventId = this.#id;
    const [type, data] = [this.#type || 'message', this.#data];
    this.#type = '';
    this.#data = [];
    return data.length === 0 ? [] : [{ type, data: data.join('\n'), lastEventId: this.lastEventId }];
  }
}

export interface Stream {
  readonly response: Response;
  readonly parser: StreamParser;
  /** All but heartbeats. */
  readonly messages: readonly Message[];
  readonly heartbeats: readonly Message[];
  /** The data of changes. */
  readonly changes: readonly { for: number[]; watcher: string; event: any; types?: object; absent?: string[] }[];
  readonly ended: Promise<void>;
  /** Waits for a message that passes. */
  has(condition: (message: Message) => boolean): Promise<Message>;
  close(): Promise<void>;
}

/** Requests these subscriptions from a handler, or from a server by its URL, and reads until it is closed. */
export async function openStream(
  from: Handler | string,
  watch: readonly unknown[],
  { lastEventId, headers = {} }: { lastEventId?: string; headers?: Record<string, string> } = {},
): Promise<Stream> {
  const url = new URL(typeof from === 'string' ? from : 'http://localhost/live');
  url.searchParams.set('watch', JSON.stringify(watch));
  const abortion = new AbortController();
  const request = new Request(url, {
    headers: { ...headers, ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) },
    signal: abortion.signal,
  });
  const response = await (typeof from === 'string' ? fetch(request) : from(request));
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  const parser = new StreamParser(lastEventId);
  const messages: Message[] = [];
  const heartbeats: Message[] = [];
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  const ended = (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const message of parser.push(decoder.decode(value, { stream: true })))
        (message.type === 'heartbeat' ? heartbeats : messages).push(message);
    }
  })();
  ended.catch(() => {}); // for pending calls of `next`
  return {
    response,
    parser,
    messages,
    heartbeats,
    ended,
    get changes() {
      return messages.filter(({ type }) => type === 'message').map(({ data }) => JSON.parse(data));
    },
    has: (condition) =>
      until(() => messages.find(condition), { describe: () => `a message; there were ${JSON.stringify(messages)}` }),
    async close() {
      await reader.cancel().catch(() => {}); // it may have failed
      abortion.abort();
    },
  };
}

/** Answers other than streams. */
export async function ask(
  handler: Handler,
  query: string,
  init?: RequestInit,
): Promise<{ status: number; text: string }> {
  const response = await handler(new Request(`http://localhost/live${query}`, init));
  return { status: response.status, text: response.status === 200 ? '' : await response.text() };
}

export const watchQuery = (watch: unknown): string => `?watch=${encodeURIComponent(JSON.stringify(watch))}`;
