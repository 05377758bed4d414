/** Smaller parts are joined up to this size. A larger part is not copied, so that clients also share its bytes while it is sent. */
const joined = 16 * 1024;
/** Memory of a part in addition to its bytes, as measured. */
const overhead = 100;
/** Milliseconds that a client has to read the rest after its connection was ended. */
const grace = 10_000;

/** The stream of one client. Unread messages wait here, up to a number of bytes. */
export class Connection {
  readonly stream: ReadableStream<Uint8Array>;
  /** Called once, when either side ends the connection. */
  readonly #onEnd: () => void;
  readonly #limit: number;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #waiting: Uint8Array[] = [];
  /** Bytes that wait, and bytes that the reader is about to take. */
  #bytes = 0;
  #taken = 0;
  #asked = false;
  #read = false;
  #ended = false;

  constructor(limit: number, onEnd: () => void) {
    this.#limit = limit;
    this.#onEnd = onEnd;
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => {
          this.#asked = this.#read = true;
          this.#bytes -= this.#taken;
          this.#taken = 0;
          this.#flush();
        },
        cancel: () => this.#over(),
      },
      // The stream does not buffer: it only pulls when its reader does.
      { highWaterMark: 0 },
    );
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whether anything has ever read from it. */
  get read(): boolean {
    return this.#read;
  }

  /** Sends a message, whole or in parts. Connections share the bytes, so a waiting message costs only a reference. */
  send(message: Uint8Array | readonly Uint8Array[]): void {
    if (this.#ended) return;
    if (message instanceof Uint8Array) this.#add(message);
    else for (const part of message) this.#add(part);
    if (this.#bytes > this.#limit)
      this.cut(`the client reads too slowly: more than ${this.#limit} bytes are waiting for it`);
    else if (this.#asked) this.#flush();
  }

  /** Ends the connection after all sent messages. A client that does not read them in time is cut off. */
  end(): void {
    if (this.#ended) return;
    for (const part of this.#waiting) this.#controller.enqueue(part);
    this.#controller.close();
    this.#over();
    const controller = this.#controller;
    setTimeout(
      () => controller.error(new Error('the client did not read the end of the stream in time')),
      grace,
    ).unref();
  }

  /** Ends the connection at once. `close` would wait for a client that does not read. */
  cut(reason: string): void {
    if (this.#ended) return;
    this.#controller.error(new Error(reason));
    this.#over();
  }

  #add(part: Uint8Array): void {
    this.#waiting.push(part);
    this.#bytes += part.byteLength + overhead;
  }

  #flush(): void {
    if (this.#waiting.length === 0) return;
    const { length } = this.#waiting;
    const chunk = length === 1 ? this.#waiting.pop()! : this.#join();
    this.#asked = false;
    this.#taken = chunk.byteLength + overhead * (length - this.#waiting.length);
    this.#controller.enqueue(chunk);
  }

  /** One large part, or several small ones joined. */
  #join(): Uint8Array {
    const waiting = this.#waiting;
    let [count, bytes] = [1, waiting[0]!.byteLength];
    while (count < waiting.length && bytes + waiting[count]!.byteLength <= joined)
      bytes += waiting[count++]!.byteLength;
    const parts = waiting.splice(0, count);
    return count === 1 ? parts[0]! : Buffer.concat(parts);
  }

  #over(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#waiting = [];
    this.#onEnd();
  }
}
