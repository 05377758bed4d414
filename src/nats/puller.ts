import { type Msg, nanos, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { inboxOf } from './access.ts';
import { StreamMessage } from './stream-message.ts';

/** Milliseconds between heartbeats of the server, and how many may be missing. */
const heartbeat = 1000;
const patience = 4;
/** Milliseconds after which a request ends even if it got fewer messages than it asked for. */
const expires = 10_000;
/** Milliseconds in which the last messages must arrive. */
const drainTimeout = 2000;
/** Bytes reserved for a message's subject, headers and acknowledgement subject. */
const envelope = 8192;

export interface PullerHost {
  /** How many messages to request now. */
  wanted(): number;
  /** Returns a promise if reading must wait until it resolves. */
  room(): Promise<void> | undefined;
  take(message: StreamMessage): void;
}

/** Limits of a consumer that somebody created by hand. */
export interface PullLimits {
  readonly messages?: number | undefined;
  readonly bytes?: number | undefined;
  /** Milliseconds. */
  readonly expires?: number | undefined;
}

/**
 * Requests messages from a consumer, one request after the other, each for no more messages and bytes than there is room for.
 * So messages for a slow handler wait in the broker. The client's `consume()` does not fit: it requests more messages before
 * the last ones are handled, limits messages or bytes but not both, and drops delivered messages when it is stopped.
 */
export class Puller {
  readonly #connection: NatsConnection;
  readonly #subject: string;
  readonly #host: PullerHost;
  readonly #limits: PullLimits;
  readonly #inbox: string;
  readonly #ended: Promise<void>;
  #end!: () => void;
  #subscription: Subscription | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #closed = false;
  #error: Error | undefined;
  #request = 0;
  /** How many messages the request may still bring; 0 without a request. */
  #open = 0;
  #bytes: number;
  /** Whether the request has brought any message. */
  #progress = false;
  #missed = 0;

  /** `subject` is where the consumer accepts requests. `bytes` is the limit of a request, unless one message may be larger. */
  constructor(connection: NatsConnection, subject: string, bytes: number, limits: PullLimits, host: PullerHost) {
    this.#connection = connection;
    this.#subject = subject;
    this.#host = host;
    this.#limits = limits;
    this.#inbox = inboxOf(connection);
    this.#bytes = Math.min(Math.max(bytes, (connection.info?.max_payload ?? 0) + envelope), limits.bytes || Infinity);
    this.#ended = new Promise((resolve) => (this.#end = resolve));
  }

  /** Resolves after close(), rejects after a failure. Either happens once all delivered messages have been passed on. */
  async run(): Promise<void> {
    if (!this.#closed) {
      this.#subscription = this.#connection.subscribe(`${this.#inbox}.*`, {
        callback: (error, message) => {
          if (error) this.close(error);
          else this.#received(message);
        },
      });
      this.#watchdog = setInterval(() => this.#look(), heartbeat);
      this.#ask();
    }
    await this.#ended;
    clearInterval(this.#watchdog);
    await this.#drain();
    if (this.#error) throw this.#error;
  }

  /** `error` is the reason, when reading failed. */
  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#end();
  }

  #ask(): void {
    if (this.#closed) return;
    const room = this.#host.room();
    if (room) {
      void room.then(() => this.#ask());
      return;
    }
    this.#open = Math.max(1, Math.min(this.#host.wanted(), this.#limits.messages || Infinity));
    this.#progress = false;
    this.#missed = 0;
    const lasts = Math.min(expires, this.#limits.expires || Infinity);
    const request = {
      batch: this.#open,
      max_bytes: this.#bytes,
      expires: nanos(lasts),
      // A server accepts it only if it is much shorter than the request.
      ...(lasts > 2 * heartbeat && { idle_heartbeat: nanos(heartbeat) }),
    };
    try {
      this.#connection.publish(this.#subject, JSON.stringify(request), { reply: `${this.#inbox}.${++this.#request}` });
    } catch (error) {
      this.close(error as Error); // the connection is closed
    }
  }

  #received(message: Msg): void {
    this.#missed = 0;
    if (message.subject.startsWith(this.#inbox)) {
      const { code = 0, description = '' } = message.headers ?? {};
      this.#told(code, description, message.subject === `${this.#inbox}.${this.#request}`);
      return;
    }
    const arrived = this.#read(message);
    if (!arrived) return;
    this.#progress = true;
    this.#host.take(arrived);
    if (this.#open > 0 && --this.#open === 0) this.#ask();
  }

  /** Ignores a message that does not come from a consumer: other clients may publish to this subject. */
  #read(message: Msg): StreamMessage | undefined {
    try {
      return new StreamMessage(message, this.#connection);
    } catch {
      return undefined;
    }
  }

  /** https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-37.md */
  #told(code: number, description: string, current: boolean): void {
    if (code === 100) return;
    const over = code === 404 || code === 408 || /exceeds maxbytes|batch completed|leadership change|server shutdown/i.test(description); // prettier-ignore
    if (!over) this.close(new Error(`JetStream: ${description || `status ${code}`}`));
    else if (current && this.#open > 0) {
      // The next message is larger than max_bytes: it was stored when the server accepted larger messages.
      if (/exceeds maxbytes/i.test(description) && !this.#progress) this.#bytes *= 2;
      this.#open = 0;
      this.#ask();
    }
  }

  /** Gives up when the server is silent: if the server that has the consumer is down, not even an error arrives. */
  #look(): void {
    if (this.#open > 0 && ++this.#missed > patience) this.close(new Error('JetStream has gone silent'));
  }

  /** Also passes on the messages that the server had sent before it received the unsubscribe. */
  async #drain(): Promise<void> {
    const subscription = this.#subscription;
    if (!subscription || this.#connection.isClosed()) return;
    if (this.#error) {
      subscription.unsubscribe();
      return;
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, drainTimeout)));
    await Promise.race([subscription.drain().catch(() => {}), late]);
    clearTimeout(timer);
  }
}
