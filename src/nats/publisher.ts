import { headers, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { retryDelay } from '../delivery/retry.ts';
import { inboxOf } from './access.ts';
import { linkOf, type Link } from './link.ts';

/** Milliseconds without an answer after which the unacknowledged messages count as failed. */
const patience = 5000;
const lost = 'the connection to NATS is lost';
/** https://github.com/nats-io/nats-server/blob/main/server/errors.json: JSStreamWrongLastMsgIDErrF */
const wrongLastId = 10070;

export interface PublisherHost {
  /** The stream that must store all messages. */
  readonly stream: string;
  /** Called before the first message and after each failure. Rejects while nothing can be published. */
  prepare(): Promise<void>;
  /** Messages were not acknowledged. They are published again after `retryIn`. */
  failed(error: Error, retryIn: number): void;
  /** Messages are acknowledged again. */
  recovered(): void;
  /** The connection is closed and will not reconnect. */
  lost(error: Error): void;
}

/** A message that JetStream has not acknowledged yet. */
interface Pending {
  readonly number: number;
  readonly subject: string;
  readonly id: string;
  readonly payload: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

type State = 'new' | 'preparing' | 'running' | 'waiting' | 'closed';

/**
 * Publishes many messages at once, and JetStream still stores them in order. Each message carries the id of the one before it
 * (`Nats-Expected-Last-Msg-Id`), and JetStream refuses it unless that one is the last in the stream. So when a message is lost,
 * all after it are refused. Then a new run begins: it publishes all unacknowledged messages again, in order. JetStream recognises
 * those that it had stored by their id and acknowledges them.
 */
export class Publisher {
  readonly #connection: NatsConnection;
  readonly #host: PublisherHost;
  readonly #inbox: string;
  readonly #encoder = new TextEncoder();
  /** In order. */
  readonly #pending = new Map<number, Pending>();
  #answers: Subscription | undefined;
  #link: Link | undefined;
  #state: State = 'new';
  #count = 0;
  /** The number of the current run. Answers to earlier runs only show that a message was stored. */
  #run = 0;
  /** The id of the last message of this run. */
  #last: string | undefined;
  #failures = 0;
  /** Whether this run has stored anything. */
  #progress = false;
  #answeredAt = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Why nothing new is published. */
  #ended: { readonly reason: unknown } | undefined;

  constructor(connection: NatsConnection, host: PublisherHost) {
    this.#connection = connection;
    this.#inbox = inboxOf(connection);
    this.#host = host;
  }

  /** Prepares for the first message. */
  open(): void {
    if (this.#state !== 'new') return;
    this.#link = linkOf(this.#connection, {
      down: () => this.#fail(new Error(lost)),
      up: () => this.#begin(),
      closed: () => this.#lose(),
      denied: (subject, error) => {
        for (const message of this.#pending.values()) {
          if (message.subject !== subject) continue;
          this.#fail(error);
          return;
        }
      },
    });
    this.#begin();
  }

  /** Resolves when JetStream has stored the message. Rejects only when the publisher has given up. */
  publish(subject: string, id: string, payload: string): Promise<void> {
    if (this.#ended) return Promise.reject(this.#ended.reason);
    return new Promise((resolve, reject) => {
      const message = { number: this.#count++, subject, id, payload: this.#encoder.encode(payload), resolve, reject };
      const idle = this.#pending.size === 0;
      this.#pending.set(message.number, message);
      if (this.#state === 'new') this.open();
      else if (this.#state === 'running') {
        if (idle) this.#expectAnswers();
        this.#send(message);
      }
    });
  }

  /** Accepts no new messages. Waits for the acknowledgements of those that were sent, until the first failure. */
  finish(reason: unknown): void {
    this.#ended ??= { reason };
    if (this.#pending.size === 0 || this.#state !== 'running') this.close(reason);
  }

  /** Stops publishing and gives up the messages that are not acknowledged. */
  close(reason: unknown): void {
    if (this.#state === 'closed') return;
    this.#ended ??= { reason };
    this.#state = 'closed';
    clearTimeout(this.#timer);
    this.#link?.close();
    if (!this.#connection.isClosed()) this.#answers?.unsubscribe();
    for (const { reject } of this.#pending.values()) reject(reason);
    this.#pending.clear();
  }

  /** Begins a new run. Without a connection, the link calls it again when there is one. */
  #begin(): void {
    clearTimeout(this.#timer);
    if (this.#state === 'closed') return;
    if (this.#connection.isClosed()) {
      this.#lose();
      return;
    }
    const run = ++this.#run;
    this.#state = 'preparing';
    if (this.#link?.isDown) {
      this.#fail(new Error(lost)); // reported again: more messages may be waiting now. The link begins the next run
      return;
    }
    this.#listen();
    this.#host.prepare().then(
      () => {
        if (this.#run === run && this.#state === 'preparing') this.#publishAll();
      },
      (error: unknown) => {
        if (this.#run === run) this.#fail(error as Error);
      },
    );
  }

  /** If the server denies the subscription, it ends. Each run subscribes again, because permissions may have changed. */
  #listen(): void {
    this.#answers ??= this.#connection.subscribe(`${this.#inbox}.*.*`, {
      callback: (error, answer) => {
        if (!error) {
          this.#answered(answer);
          return;
        }
        this.#answers = undefined;
        this.#fail(error);
      },
    });
  }

  #publishAll(): void {
    this.#state = 'running';
    this.#last = undefined;
    this.#progress = false;
    const run = this.#run;
    if (this.#pending.size > 0) this.#expectAnswers();
    for (const message of this.#pending.values()) {
      if (this.#run !== run) return; // sending one of them failed and ended this run
      this.#send(message);
    }
  }

  #send({ number, subject, id, payload }: Pending): void {
    const fields = headers();
    fields.set('Nats-Msg-Id', id);
    fields.set('Nats-Expected-Stream', this.#host.stream);
    if (this.#last !== undefined) fields.set('Nats-Expected-Last-Msg-Id', this.#last);
    this.#last = id;
    try {
      this.#connection.publish(subject, payload, { headers: fields, reply: `${this.#inbox}.${this.#run}.${number}` });
    } catch (error) {
      this.#fail(error as Error); // larger than the server's max_payload; or the connection is closed
    }
  }

  #answered(answer: Msg): void {
    const [run, number] = answer.subject.slice(this.#inbox.length + 1).split('.');
    const current = Number(run) === this.#run && this.#state === 'running';
    const error = refusal(answer);
    if (error !== undefined) {
      if (current) this.#fail(error);
      return;
    }
    const message = this.#pending.get(Number(number));
    if (!message) return;
    this.#pending.delete(message.number);
    this.#answeredAt = Date.now();
    if (current) this.#progress = true;
    if (this.#pending.size === 0 && this.#state === 'running') clearTimeout(this.#timer); // in other states the timer belongs to the next run
    if (this.#failures > 0) {
      this.#failures = 0;
      this.#host.recovered();
    }
    message.resolve();
    if (this.#ended && this.#pending.size === 0) this.close(this.#ended.reason);
  }

  /** Ends the run. A new one begins after a delay. */
  #fail(error: Error): void {
    if (this.#state === 'closed' || this.#state === 'waiting') return;
    if (this.#ended) {
      this.close(this.#ended.reason);
      return;
    }
    clearTimeout(this.#timer);
    this.#run++;
    this.#state = 'waiting';
    // Another message is the last in the stream, or the expected one was stored long ago. The next run begins right after the
    // acknowledged messages, so it can begin at once.
    if ((error as Refusal).code === wrongLastId && this.#progress) {
      this.#begin();
      return;
    }
    const retryIn = Math.min(retryDelay(++this.#failures, Math.random()), 10_000);
    this.#host.failed(error, retryIn);
    this.#timer = setTimeout(() => this.#begin(), retryIn);
  }

  #lose(): void {
    clearTimeout(this.#timer);
    this.#state = 'waiting';
    this.#run++;
    this.#host.lost(new Error('the connection to NATS was closed'));
  }

  /** One timer for all unacknowledged messages: every answer gives the rest more time. */
  #expectAnswers(): void {
    this.#answeredAt = Date.now();
    const look = () => {
      const silence = Date.now() - this.#answeredAt;
      if (silence >= patience) this.#fail(new Error(`JetStream has not answered for ${silence} ms`));
      else this.#timer = setTimeout(look, patience - silence);
    };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(look, patience);
  }
}

type Refusal = Error & { readonly code?: number };

/** JetStream's reason for not storing a message. */
function refusal(answer: Msg): Refusal | undefined {
  if (answer.headers?.code === 503) return new Error('no stream accepts the subject, or JetStream is not available');
  try {
    const { error } = answer.json<{ error?: { description: string; err_code: number } }>();
    return error && Object.assign(new Error(`JetStream: ${error.description}`), { code: error.err_code });
  } catch {
    return new Error('the answer does not come from JetStream');
  }
}
