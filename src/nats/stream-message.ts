import type { Msg, NatsConnection } from '@nats-io/transport-node';

const encoder = new TextEncoder();
const ack = encoder.encode('+ACK');
const working = encoder.encode('+WPI');
const nothing = new Uint8Array();

/** A message as a consumer delivers it. The NATS client has a class for it too, but only for its own requests. */
export class StreamMessage {
  readonly subject: string;
  data: Uint8Array;
  /** Its sequence number in the stream. */
  readonly seq: number;
  /** When the stream stored it, in nanoseconds. A stream that lost its last messages gives their numbers to other messages. */
  readonly time: string;
  /** How often the consumer has delivered it, this time included. */
  readonly deliveries: number;
  /** How many messages the consumer has delivered, this one included. */
  readonly delivery: number;
  readonly #connection: NatsConnection;
  readonly #reply: string;
  #answered = false;

  /** Throws unless the reply subject is `$JS.ACK.<stream>.<consumer>.<deliveries>.<seq>.<delivery>.<time>.<pending>`, also with domain and account. */
  constructor({ subject, data, reply = '' }: Msg, connection: NatsConnection) {
    const tokens = reply.split('.');
    const first = tokens.length === 9 ? 4 : 6;
    const [deliveries = NaN, seq = NaN, delivery = NaN] = tokens.slice(first, first + 3).map(Number);
    if (!reply.startsWith('$JS.ACK.') || !(deliveries > 0 && seq > 0 && delivery > 0))
      throw new Error(`not a message of a consumer: ${reply}`);
    this.subject = subject;
    this.data = data;
    this.seq = seq;
    this.time = tokens[first + 3] ?? '';
    this.deliveries = deliveries;
    this.delivery = delivery;
    this.#connection = connection;
    this.#reply = reply;
  }

  /** Frees the payload once it has been read. */
  release(): void {
    this.data = nothing;
  }

  ack(): void {
    this.#settle(ack);
  }

  /** Gives it back. It is delivered again after `delay` milliseconds. */
  giveBack(delay: number): void {
    this.#settle(encoder.encode(`-NAK {"delay":${delay * 1e6}}`));
  }

  /** Tells the broker that it is still being handled. */
  working(): void {
    if (!this.#answered && !this.#connection.isClosed()) this.#connection.publish(this.#reply, working);
  }

  #settle(answer: Uint8Array): void {
    if (this.#answered) return;
    this.#answered = true;
    if (!this.#connection.isClosed()) this.#connection.publish(this.#reply, answer); // otherwise it is delivered again
  }
}
