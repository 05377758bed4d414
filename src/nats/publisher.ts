import { headers, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { retryDelay } from '../delivery/retry.ts';
import { inboxOf } from './access.ts';
import { linkOf, type Link } from './link.ts';

/** Milliseconds without an answer after which what is on its way counts as failed. */
const patience = 5000;
const lost = 'the connection to NATS is lost';
/** https://github.com/nats-io/nats-server/blob/main/server/errors.json: JSStreamWrongLastMsgIDErrF */
const wrongLastId = 10070;

export interface PublisherHost {
  /** The stream that all messages are for. */
  readonly stream: string;
  /** Before the first message, and again after each failure: rejects as long as nothing can be published. */
  prepare(): Promise<void>;
  /** What is on its way was not acknowledged, and is published again. */
  failed(error: Error, retryIn: number): void;
  /** Messages are acknowledged again. */
  recovered(): void;
  /** The connection is closed for good. */
  lost(error: Error): void;
}

/** A message from when it is given until JetStream has acknowledged it. */
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
 * Publishes messages without waiting for the acknowledgement of one before the next, and yet stores them in order: each
 * carries the id of the one before it, and JetStream refuses it (`Nats-Expected-Last-Msg-Id`) unless that is the last in the
 * stream. Where one gets lost, all after it are refused. Then a new run begins: all that is not acknowledged is published
 * again in order, and what was stored after all is recognised by its id and acknowledged.
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
  /** Answers to earlier runs say only what was stored. */
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

  /** Makes ready for the first message. */
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

  /** Resolves when JetStream has stored the message. Rejects only when that will not be tried any more. */
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

  /** Nothing new is published; what is on its way is waited for, as long as it does not fail. */
  finish(reason: unknown): void {
    this.#ended ??= { reason };
    if (this.#pending.size === 0 || this.#state !== 'running') this.close(reason);
  }

  /** Nothing is published any more; what is on its way is given up. */
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

  /** Begins a new run, unless there is no connection: then the link says when there is one. */
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
      this.#fail(new Error(lost)); // said again, because there may be more that it holds up; the link begins as soon as it can
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

  /** Where the server does not permit it the subscription is over. It is made again, for that may have changed. */
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
      if (this.#run !== run) return; // one of them could not even be sent
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
    if (this.#pending.size === 0 && this.#state === 'running') clearTimeout(this.#timer); // else it is the next run's
    if (this.#failures > 0) {
      this.#failures = 0;
      this.#host.recovered();
    }
    message.resolve();
    if (this.#ended && this.#pending.size === 0) this.close(this.#ended.reason);
  }

  /** Ends the run; a new one begins after a while. */
  #fail(error: Error): void {
    if (this.#state === 'closed' || this.#state === 'waiting') return;
    if (this.#ended) {
      this.close(this.#ended.reason);
      return;
    }
    clearTimeout(this.#timer);
    this.#run++;
    this.#state = 'waiting';
    // Something else is last in the stream, or was stored long ago: the next run begins right behind what was acknowledged.
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

  /** One timer for all that is on its way: as long as anything is answered, the rest has time. */
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

/** What JetStream answers when it does not store a message. */
function refusal(answer: Msg): Refusal | undefined {
  if (answer.headers?.code === 503) return new Error('no stream takes the subject, or JetStream is not there');
  try {
    const { error } = answer.json<{ error?: { description: string; err_code: number } }>();
    return error && Object.assign(new Error(`JetStream: ${error.description}`), { code: error.err_code });
  } catch {
    return new Error('what answers is not JetStream');
  }
}
