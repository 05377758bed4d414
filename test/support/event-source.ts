/** A browser's EventSource, on a handler instead of the network. `connections` are those that it opened, newest last. */
import { StreamParser } from './event-stream.ts';

type Handler = (request: Request) => Promise<Response>;
type Listener = (event: { type: string; data?: string; lastEventId?: string }) => void;

export interface Connections {
  /** The URLs that were asked for, a reconnect by itself included. */
  readonly urls: URL[];
  /** Cuts the streams, as a network does: each source connects again. */
  cut(): void;
  /** While true, every attempt fails as one that no server answers. */
  down: boolean;
}

/** Puts one in place of the browser's, which Node 20 has none of. Returns what it does and how to take it away. */
export function installEventSource(handler: Handler): Connections & Disposable {
  const open = new Set<HandlerSource>();
  const connections = { urls: [] as URL[], down: false, cut: () => open.forEach((source) => source.cut()) };

  class HandlerSource {
    readyState = 0;
    readonly #url: URL;
    readonly #listeners = new Map<string, Listener[]>();
    #lastEventId = '';
    #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

    constructor(url: URL) {
      this.#url = url;
      open.add(this);
      void this.#connect();
    }

    addEventListener(type: string, listener: Listener): void {
      this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
    }

    close(): void {
      this.readyState = 2;
      open.delete(this);
      void this.#reader?.cancel();
    }

    cut(): void {
      void this.#reader?.cancel();
    }

    #dispatch(event: Parameters<Listener>[0]): void {
      if (this.readyState !== 2 || event.type === 'error')
        for (const listener of this.#listeners.get(event.type) ?? []) listener(event);
    }

    async #connect(): Promise<void> {
      await Promise.resolve();
      while (this.readyState !== 2) {
        if (!connections.down) await this.#attempt();
        if (this.#closed) return;
        this.readyState = 0;
        this.#dispatch({ type: 'error' });
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }

    get #closed(): boolean {
      return this.readyState === 2;
    }

    async #attempt(): Promise<void> {
      connections.urls.push(this.#url);
      const headers = this.#lastEventId ? { 'last-event-id': this.#lastEventId } : {};
      const response = await handler(new Request(this.#url, { headers }));
      if (response.status !== 200) {
        this.close();
        this.#dispatch({ type: 'error' });
        return;
      }
      this.readyState = 1;
      this.#reader = response.body!.getReader();
      const parser = new StreamParser(this.#lastEventId);
      for (;;) {
        const { done, value } = await this.#reader.read();
        if (done) return;
        const messages = parser.push(new TextDecoder().decode(value));
        for (const message of messages) {
          this.#lastEventId = message.lastEventId;
          this.#dispatch(message);
        }
        this.#lastEventId = parser.lastEventId;
      }
    }
  }

  const there = Object.getOwnPropertyDescriptor(globalThis, 'EventSource');
  Object.defineProperty(globalThis, 'EventSource', { value: HandlerSource, configurable: true, writable: true });
  return Object.assign(connections, {
    [Symbol.dispose]() {
      for (const source of open) source.close();
      if (there) Object.defineProperty(globalThis, 'EventSource', there);
      else Reflect.deleteProperty(globalThis, 'EventSource');
    },
  });
}
