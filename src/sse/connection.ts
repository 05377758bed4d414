/** The stream of one client. What it has not taken yet waits here, bounded by bytes. */
export class Connection {
  readonly stream: ReadableStream<Uint8Array>;
  /** Called once, whoever ends it. */
  readonly #onEnd: () => void;
  readonly #limit: number;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #asked = false;
  #ended = false;

  constructor(limit: number, onEnd: () => void) {
    this.#limit = limit;
    this.#onEnd = onEnd;
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => {
          this.#asked = true;
          this.#flush();
        },
        cancel: () => this.#over(),
      },
      // The stream keeps nothing itself: it asks when its reader does.
      { highWaterMark: 0 },
    );
  }

  /** Messages are shared between connections, so one that waits costs a reference. */
  send(message: Uint8Array): void {
    if (this.#ended) return;
    this.#waiting.push(message);
    this.#bytes += message.length;
    if (this.#bytes > this.#limit) this.#cut();
    else if (this.#asked) this.#flush();
  }

  /** Ends it after what was sent. */
  end(): void {
    if (this.#ended) return;
    if (this.#waiting.length > 0) this.#controller.enqueue(Buffer.concat(this.#waiting));
    this.#controller.close();
    this.#over();
  }

  /** Not `close`, which would wait for a client that does not read. */
  #cut(): void {
    this.#controller.error(new Error(`the client is too slow: more than ${this.#limit} bytes wait for it`));
    this.#over();
  }

  #flush(): void {
    if (this.#waiting.length === 0) return;
    const chunk = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting);
    this.#asked = false;
    this.#waiting = [];
    this.#bytes = 0;
    this.#controller.enqueue(chunk);
  }

  #over(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#waiting = [];
    this.#onEnd();
  }
}
