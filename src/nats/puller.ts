import { type Msg, nanos, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { inboxOf } from './access.ts';
import { StreamMessage } from './stream-message.ts';

/** Milliseconds between signs of life of the server, and how many may be missing. */
const heartbeat = 1000;
const patience = 4;
/** Milliseconds after which a request that got less than it asked for ends. */
const expires = 10_000;
/** Milliseconds that the last messages have to arrive. */
const drainTimeout = 2000;
/** Bytes of a message besides its payload: subject, headers and the subject of its acknowledgement. */
const envelope = 8192;

export interface PullerHost {
  /** How many messages may come now. */
  wanted(): number;
  /** A promise: nothing may come before it resolves. */
  room(): Promise<void> | undefined;
  take(message: StreamMessage): void;
}

/** Limits of a consumer that was made by hand. */
export interface PullLimits {
  readonly messages?: number | undefined;
  readonly bytes?: number | undefined;
  /** Milliseconds. */
  readonly expires?: number | undefined;
}

/**
 * Asks a consumer for messages, one request after the other, each for no more messages and bytes than there is room for. So
 * what waits for a slow handler waits in the broker. Not the client's `consume()`: that asks for the next messages while
 * nobody has taken the last ones, by number or by bytes but not by both, and drops what is on its way when it is stopped.
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
  /** How many messages the request may still bring; 0: there is none. */
  #open = 0;
  #bytes: number;
  /** Whether the request has brought any. */
  #progress = false;
  #missed = 0;

  /** `subject`: where the consumer takes requests. `bytes`: for a request, unless one message needs more. */
  constructor(connection: NatsConnection, subject: string, bytes: number, limits: PullLimits, host: PullerHost) {
    this.#connection = connection;
    this.#subject = subject;
    this.#host = host;
    this.#limits = limits;
    this.#inbox = inboxOf(connection);
    this.#bytes = Math.min(Math.max(bytes, (connection.info?.max_payload ?? 0) + envelope), limits.bytes || Infinity);
    this.#ended = new Promise((resolve) => (this.#end = resolve));
  }

  /** Resolves after close(), rejects with what went wrong. Once all that was on its way has been handed over. */
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

  /** `error`: why, if it is not meant to end. */
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
      // A server takes it only if it is much shorter than the request.
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

  /** Anybody may publish to any subject that he can guess. */
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
      // It is larger than everything that may be asked for: it was stored when the server took larger ones.
      if (/exceeds maxbytes/i.test(description) && !this.#progress) this.#bytes *= 2;
      this.#open = 0;
      this.#ask();
    }
  }

  /** Gives up when the server goes silent: a consumer that was on a server that is gone is not found and not missing either. */
  #look(): void {
    if (this.#open > 0 && ++this.#missed > patience) this.close(new Error('JetStream has gone silent'));
  }

  /** What the server has sent before it heard that nobody wants any more is handed over as well. */
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
