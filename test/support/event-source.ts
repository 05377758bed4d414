/** A network between a client and a handler: a `fetch` and a browser's `EventSource` that reach it without sockets. */
import { StreamParser } from './event-stream.ts';

type Handler = (request: Request) => Promise<Response> | Response;
type Listener = (event: { type: string; data?: string; lastEventId?: string }) => void;

export interface Network {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly EventSource: new (url: string) => {
    addEventListener(type: string, listener: Listener): void;
    close(): void;
  };
  /** The URLs that were requested. */
  readonly requests: readonly Request[];
  readonly urls: readonly URL[];
  /** Cuts the streams, as a network does. */
  cut(): void;
  /** The open streams deliver nothing any more, and stay open. */
  freeze(): void;
  /** While true, every attempt fails as if no server answered. */
  down: boolean;
}

export function networkTo(handler: Handler): Network {
  const open = new Set<{ cut: () => void; frozen: boolean }>();
  const requests: Request[] = [];
  const network = {
    requests,
    get urls() {
      return requests.map(({ url }) => new URL(url));
    },
    down: false,
    cut: () => open.forEach(({ cut }) => cut()),
    freeze: () => open.forEach((stream) => (stream.frozen = true)),
    fetch: async (url: string, init: RequestInit = {}) => {
      const request = new Request(url, init);
      requests.push(request.clone());
      if (network.down) throw new TypeError('fetch failed');
      const response = await handler(request);
      if (response.status !== 200 || !response.body) return response;
      return new Response(carried(response.body, init.signal ?? undefined), response);
    },
    EventSource: class {
      #closed = false;
      readonly #abortion = new AbortController();
      readonly #listeners = new Map<string, Listener[]>();

      constructor(url: string) {
        void this.#run(url).catch(() => {}).then(() => this.#dispatch({ type: 'error' })); // prettier-ignore
      }

      addEventListener(type: string, listener: Listener): void {
        this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
      }

      close(): void {
        this.#closed = true;
        this.#abortion.abort();
      }

      #dispatch(event: Parameters<Listener>[0]): void {
        if (!this.#closed) for (const listener of this.#listeners.get(event.type) ?? []) listener(event);
      }

      async #run(url: string): Promise<void> {
        const response = await network.fetch(url, { signal: this.#abortion.signal });
        if (response.status !== 200) return;
        const parser = new StreamParser();
        const decoder = new TextDecoder();
        for await (const chunk of response.body!)
          parser.push(decoder.decode(chunk, { stream: true })).forEach((message) => this.#dispatch(message));
      }
    },
  };

  function carried(body: ReadableStream<Uint8Array>, signal: AbortSignal | undefined): ReadableStream<Uint8Array> {
    const reader = body.getReader();
    const stream = { frozen: false, cut: () => {} };
    open.add(stream);
    return new ReadableStream<Uint8Array>({
      start(controller) {
        const end = (how: () => void) => {
          if (!open.delete(stream)) return;
          how();
          reader.cancel().catch(() => {}); // the server may have ended it
        };
        stream.cut = () => end(() => controller.error(new TypeError('network error')));
        signal?.addEventListener('abort', () => end(() => controller.error(signal.reason)));
        void (async () => {
          for (;;) {
            const { done, value } = await reader.read();
            if (done) return end(() => controller.close());
            if (!stream.frozen && open.has(stream)) controller.enqueue(value);
          }
        })().catch((error: unknown) => end(() => controller.error(error)));
      },
    });
  }

  return network;
}
