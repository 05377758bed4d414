/** Parts up to this size are sent together. A larger one goes as it is, so that clients share its bytes on their way too. */
const joined = 16 * 1024;
/** Bytes that a part takes in memory besides its own, measured. */
const overhead = 100;
/** Milliseconds in which a client takes what was sent before its connection was ended. */
const grace = 10_000;

/** The stream of one client. What it has not taken yet waits here, bounded by bytes. */
export class Connection {
  readonly stream: ReadableStream<Uint8Array>;
  /** Called once, whoever ends it. */
  readonly #onEnd: () => void;
  readonly #limit: number;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #waiting: Uint8Array[] = [];
  /** Of what waits, and of what the reader is about to take. */
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
      // The stream keeps nothing itself: it asks when its reader does.
      { highWaterMark: 0 },
    );
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whether anybody has ever read from it. */
  get read(): boolean {
    return this.#read;
  }

  /** A message, whole or in parts. They are shared between connections, so one that waits costs a reference. */
  send(message: Uint8Array | readonly Uint8Array[]): void {
    if (this.#ended) return;
    if (message instanceof Uint8Array) this.#add(message);
    else for (const part of message) this.#add(part);
    if (this.#bytes > this.#limit) this.cut(`the client is too slow: more than ${this.#limit} bytes wait for it`);
    else if (this.#asked) this.#flush();
  }

  /** Ends it after what was sent; a client that does not take that is cut. */
  end(): void {
    if (this.#ended) return;
    for (const part of this.#waiting) this.#controller.enqueue(part);
    this.#controller.close();
    this.#over();
    const controller = this.#controller;
    setTimeout(() => controller.error(new Error('the client is too slow to end')), grace).unref();
  }

  /** Not `close`, which would wait for a client that does not read. */
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

  /** A large part, or as many small ones as are sent together. */
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
