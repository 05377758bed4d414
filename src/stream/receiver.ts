import { Decoder } from '../postgres/pgoutput/decoder.ts';
import type { LargeMessage } from '../postgres/pgoutput/large-message.ts';
import type { Message, Relation, TypeMessage } from '../postgres/pgoutput/messages.ts';
import type { RelationPlan } from '../watchers/plan.ts';
import type { LargeMessageSink } from './copy-stream.ts';
import type { Intake } from './intake.ts';
import type { Lsn } from '../postgres/lsn.ts';

export interface ReceiverHost {
  plan(relation: Relation): RelationPlan | undefined;
  /** Called at each description of a relation. A promise: what follows waits until the catalog has answered. */
  described(relation: Relation): Promise<void> | undefined;
  /** Called at each description of a type. */
  type(message: TypeMessage): void;
  /** Called at each logical message. */
  message(prefix: string): void;
  /** A position outside of transactions was reached. */
  reached(lsn: Lsn): void;
  keepalive(walEnd: Lsn, replyRequested: boolean): void;
  /** `waiting`: what is received has to be kept until the catalog has answered, so no more should come. */
  wait(waiting: boolean): void;
  failed(error: unknown): void;
}

type Received = Buffer | { readonly walEnd: Lsn; readonly replyRequested: boolean };

/** Takes what one connection brings, in order: decodes it and hands it on; waits where the catalog must be asked first. */
export class Receiver {
  readonly #intake: Intake;
  readonly #host: ReceiverHost;
  readonly #decoder: Decoder;
  readonly #plans = new Map<number, { readonly relation: Relation; readonly plan: RelationPlan | undefined }>();
  #failed = false;
  /** What came in while the catalog was asked; undefined when it is not. */
  #backlog: Received[] | undefined;

  constructor(intake: Intake, host: ReceiverHost) {
    this.#intake = intake;
    this.#host = host;
    this.#decoder = new Decoder(this.#planOf, (prefix) => intake.wantsMessages(prefix));
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
   * A message of `length` bytes that comes in pieces. Undefined: it has to be put together, because what is wanted of it
   * is not known yet.
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

  /** Nothing is taken any more. */
  close(): void {
    this.#failed = true;
    this.#backlog = undefined;
  }

  /** We are inside the socket's callback, where a throw would be an uncaught exception. */
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

  /** `bytes`: what its values take in memory. */
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
      default: // nothing to be done
    }
  }

  #takeKeepalive(walEnd: Lsn, replyRequested: boolean): void {
    if (!this.#intake.inside) {
      this.#host.reached(walEnd);
      this.#intake.idle(walEnd);
    }
    this.#host.keepalive(walEnd, replyRequested);
  }

  /** Made at the first change after a relation was described, or the catalog was asked. One function, not one for each row. */
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
    // Also of other relations: a new partition may send less than the others, and all come under their root.
    this.#plans.clear();
    this.#decoder.projectAnew();
    for (let index = 0; index < backlog.length; index++) {
      const received = backlog[index]!;
      if (Buffer.isBuffer(received)) this.#take(received, 0, received.length);
      else this.#takeKeepalive(received.walEnd, received.replyRequested);
      const again = this.#backlog as Received[] | undefined;
      if (again) {
        again.push(...backlog.slice(index + 1)); // another question: the rest waits for its answer
        return;
      }
    }
    this.#host.wait(false);
  }
}
