import { Decoder } from '../postgres/pgoutput/decoder.ts';
import type { LargeMessage } from '../postgres/pgoutput/large-message.ts';
import type { Message, Relation, TypeMessage } from '../postgres/pgoutput/messages.ts';
import type { RelationPlan } from '../watchers/plan.ts';
import type { LargeMessageSink } from './copy-stream.ts';
import type { Intake } from './intake.ts';
import type { Lsn } from '../postgres/lsn.ts';

export interface ReceiverHost {
  plan(relation: Relation): RelationPlan | undefined;
  /** Called for each relation description. If it returns a promise, later messages wait until the catalog has been queried. */
  described(relation: Relation): Promise<void> | undefined;
  /** Called for each type description. */
  type(message: TypeMessage): void;
  /** Called for each logical message. */
  message(prefix: string): void;
  /** The stream reached a position outside transactions. */
  reached(lsn: Lsn): void;
  keepalive(walEnd: Lsn, replyRequested: boolean): void;
  /** `waiting`: received data is buffered until the catalog has been queried, so reading should pause. */
  wait(waiting: boolean): void;
  failed(error: unknown): void;
}

type Received = Buffer | { readonly walEnd: Lsn; readonly replyRequested: boolean };

/** Takes the messages of one connection in order, decodes them and passes them on. Waits when the catalog must be queried first. */
export class Receiver {
  readonly #intake: Intake;
  readonly #host: ReceiverHost;
  readonly #decoder: Decoder;
  readonly #plans = new Map<number, { readonly relation: Relation; readonly plan: RelationPlan | undefined }>();
  #failed = false;
  /** Messages received while the catalog is queried; undefined otherwise. */
  #backlog: Received[] | undefined;

  constructor(intake: Intake, host: ReceiverHost) {
    this.#intake = intake;
    this.#host = host;
    this.#decoder = new Decoder(this.#planOf, (prefix, bytes) => intake.wantsMessage(prefix, bytes));
  }

  /** One message of the output plugin: `bytes` from `start` up to `end`. */
  message(bytes: Buffer, start = 0, end = bytes.length): void {
    if (this.#failed) return;
    if (this.#backlog) {
      // A copy, so as not to keep the whole buffer.
      this.#backlog.push(Buffer.from(bytes.subarray(start, end)));
      return;
    }
    try {
      this.#take(bytes, start, end);
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * A message of `length` bytes that arrives in pieces. Undefined: it must be received in one piece, because the columns
   * that watchers need are not known yet.
   */
  large(type: number, length: number): LargeMessageSink | undefined {
    if (this.#failed || this.#backlog) return undefined;
    const message = this.#decoder.large(type, length);
    return { write: (bytes, start, end) => this.#takePiece(message, bytes, start, end) };
  }

  keepalive(walEnd: Lsn, replyRequested: boolean): void {
    if (this.#failed) return;
    if (this.#backlog) this.#backlog.push({ walEnd, replyRequested });
    else
      try {
        this.#takeKeepalive(walEnd, replyRequested);
      } catch (error) {
        this.#fail(error);
      }
  }

  /** Ignores everything from now on. */
  close(): void {
    this.#failed = true;
    this.#backlog = undefined;
  }

  /** The callers run in the socket's callback, where a throw would be an uncaught exception. */
  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#host.failed(error);
  }

  #take(bytes: Buffer, start: number, end: number): void {
    this.#intake.received(end - start);
    const message = this.#decoder.decode(bytes, start, end);
    this.#handle(message, this.#decoder.kept);
  }

  #takePiece(large: LargeMessage, bytes: Buffer, start: number, end: number): void {
    if (this.#failed) return;
    try {
      this.#intake.received(end - start);
      const message = large.write(bytes, start, end);
      if (message) this.#handle(message, large.kept);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** `bytes`: the memory that its values take. */
  #handle(message: Message, bytes: number): void {
    switch (message.tag) {
      case 'insert':
      case 'update':
      case 'delete':
      case 'truncate':
        this.#intake.change(message, this.#planOf, bytes);
        break;
      case 'begin':
        this.#intake.begin(message);
        break;
      case 'commit':
        this.#host.reached(message.endLsn);
        this.#intake.commit(message);
        break;
      case 'message':
        if (!message.transactional) this.#host.reached(message.lsn);
        this.#host.message(message.prefix);
        this.#intake.message(message, bytes);
        break;
      case 'type':
        this.#host.type(message);
        break;
      case 'relation': {
        const asked = this.#host.described(message.relation);
        if (asked) this.#waitFor(asked);
        break;
      }
      default: // nothing to do
    }
  }

  #takeKeepalive(walEnd: Lsn, replyRequested: boolean): void {
    if (!this.#intake.inside) {
      this.#host.reached(walEnd);
      this.#intake.idle(walEnd);
    }
    this.#host.keepalive(walEnd, replyRequested);
  }

  /** Plans are computed at the first change after a relation description or a catalog query. A single function, so that no row creates one. */
  readonly #planOf = (relation: Relation): RelationPlan | undefined => {
    const known = this.#plans.get(relation.oid);
    if (known?.relation === relation) return known.plan;
    const plan = this.#host.plan(relation);
    this.#plans.set(relation.oid, { relation, plan });
    return plan;
  };

  #waitFor(asked: Promise<void>): void {
    const backlog: Received[] = (this.#backlog = []);
    this.#host.wait(true);
    asked.then(() => this.#catchUp(backlog)).catch((error: unknown) => this.#fail(error));
  }

  #catchUp(backlog: Received[]): void {
    if (this.#failed) return;
    this.#backlog = undefined;
    // Clear the plans of all relations: partitions share the plan of their root, and a new partition may send fewer columns.
    this.#plans.clear();
    this.#decoder.projectAnew();
    for (let index = 0; index < backlog.length; index++) {
      const received = backlog[index]!;
      if (Buffer.isBuffer(received)) this.#take(received, 0, received.length);
      else this.#takeKeepalive(received.walEnd, received.replyRequested);
      const again = this.#backlog as Received[] | undefined;
      if (again) {
        again.push(...backlog.slice(index + 1)); // another catalog query: the rest waits for it
        return;
      }
    }
    this.#host.wait(false);
  }
}
