import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ProtocolError } from '../errors.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { ReadPace } from './read-pace.ts';

/** Where a large message goes piece by piece. */
export interface LargeMessageSink {
  /** The next piece of it: `bytes` from `start` up to `end`. */
  write(bytes: Buffer, start: number, end: number): void;
}

/** Where the messages of a replication stream go. Called in the socket's callback: must neither throw nor keep the bytes. */
export interface CopySink {
  /** One message of the output plugin: `bytes` from `start` up to `end`. */
  message(bytes: Buffer, start: number, end: number): void;
  /**
   * A message of `length` bytes is coming in, which begins with `type`. Returns where to bring the pieces; undefined: it is
   * wanted whole.
   */
  large(type: number, length: number): LargeMessageSink | undefined;
  keepalive(walEnd: Lsn, replyRequested: boolean): void;
}

const copyData = 0x64; // 'd'
const xLogData = 0x77; // 'w'
const keepalive = 0x6b; // 'k'
/** Type and length of a message. */
const header = 5;
/** 'w', start and end of WAL, time. */
const xLogHeader = 25;
/** Of a message of the output plugin, up to its type. */
const beginning = header + xLogHeader + 1;
/** 'k', end of WAL, time, whether a reply is wanted. */
const keepaliveLength = 18;
/** Bytes. Larger messages are handed on in pieces, because much of them may be wanted by nobody. */
const large = 0x10_0000;
/** Bytes. PostgreSQL makes none larger (MaxAllocSize). */
const longest = 0x4000_0000;

/**
 * Reads a connection in pg's place from START_REPLICATION on. Takes the messages of the copy protocol apart where they
 * lie, a buffer of many at a time, and leaves all other messages to pg.
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */
export class CopyStream {
  readonly #stream: Duplex;
  readonly #sink: CopySink;
  readonly #others: (bytes: Buffer) => void;
  readonly #pace = new ReadPace();
  /** Only TCP has room for what piles up: a Unix socket holds some 200 messages, and then the sender waits for us. */
  readonly #piles: boolean;
  /** The beginning of a message whose end has not come yet, and how many bytes it takes to go on. */
  #rest: Buffer[] = [];
  #restLength = 0;
  #needed = 0;
  /** A large message that is handed on in pieces, and how many of its bytes have not come. */
  #large: LargeMessageSink | undefined;
  #largeLeft = 0;
  /** What was read and not taken apart when reading paused. */
  #held: Buffer | undefined;
  #paused = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Immediate | undefined;

  /** Between two messages: pg must not hold the beginning of one. */
  constructor(stream: Duplex, sink: CopySink) {
    this.#stream = stream;
    this.#sink = sink;
    this.#piles = (stream as Partial<Socket>).remotePort !== undefined;
    this.#others = stream.listeners('data')[0] as (bytes: Buffer) => void;
    stream.removeAllListeners('data');
    // Node tells of each TLS record on its own: what one look at the socket brought is read together.
    stream.on('readable', () => {
      this.#soon ??= setImmediate(() => {
        this.#soon = undefined;
        this.#readable();
      });
    });
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    queueMicrotask(() => this.#readable()); // whoever freed memory is in the middle of a delivery
  }

  /** Nothing is read any more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#soon);
  }

  /** We are in the socket's callback, where a throw would be an uncaught exception: it ends the connection. */
  #readable(): void {
    try {
      this.#read();
    } catch (error) {
      this.close();
      this.#stream.destroy(error as Error);
    }
  }

  #read(): void {
    if (this.#closed || this.#paused || this.#timer !== undefined) return;
    const held = this.#held;
    if (held) {
      this.#held = undefined;
      this.#take(held);
      if (this.#paused) return;
    }
    for (;;) {
      // All that has come: without a length, Node 26 gives only the first of the chunks that are there.
      const bytes = this.#stream.read(this.#stream.readableLength) as Buffer | null;
      if (bytes === null) return;
      this.#take(bytes);
      if (this.#paused) return;
      if (!this.#piles) continue;
      const pause = this.#pace.pauseAfter(bytes.length, performance.now());
      if (pause === 0) continue;
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#readable();
      }, pause);
      return;
    }
  }

  #take(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#large || this.#beginsLarge()) {
      bytes = this.#takePiece(chunk);
      if (bytes.length === 0) return;
    } else if (this.#restLength > 0) {
      this.#rest.push(chunk);
      this.#restLength += chunk.length;
      if (this.#restLength < this.#needed) return;
      bytes = Buffer.concat(this.#rest, this.#restLength);
      this.#rest = [];
      this.#restLength = 0;
    }
    let start = 0;
    let needed = header;
    while (bytes.length - start >= header && !this.#paused) {
      const length = bytes.readInt32BE(start + 1);
      if (length < 4 || length > longest)
        throw new ProtocolError(String.fromCharCode(bytes[start]!), 1, `a message of ${length} bytes`);
      const end = start + 1 + length;
      if (end > bytes.length) {
        needed = end - start;
        // Who is asked for the pieces of a large one is told what it begins with.
        if (needed > large && bytes.length - start < beginning) needed = beginning;
        break;
      }
      if (bytes[start] === copyData) this.#copyData(bytes, start + header, end);
      else this.#others(bytes.subarray(start, end));
      start = end;
    }
    if (start === bytes.length) return;
    if (this.#paused) {
      this.#held = bytes.subarray(start);
      return;
    }
    this.#restLength = bytes.length - start;
    this.#needed = needed;
    // A piece of the chunk where that will do, so that a large message before it is not kept in memory.
    this.#rest = [this.#restLength <= chunk.length ? chunk.subarray(-this.#restLength) : bytes.subarray(start)];
  }

  /**
   * Whether the message that has begun is handed on in pieces. Asked for once the next chunk is there: what came before it
   * may have made reading pause.
   */
  #beginsLarge(): boolean {
    const [rest, more] = this.#rest;
    if (this.#needed <= large || rest === undefined || more !== undefined) return false; // or it was asked for
    if (rest[0] !== copyData || rest[header] !== xLogData) return false;
    const start = beginning - 1;
    this.#large = this.#sink.large(rest[start]!, this.#needed - start);
    if (!this.#large) return false;
    this.#largeLeft = this.#needed - rest.length;
    this.#rest = [];
    this.#restLength = this.#needed = 0;
    this.#large.write(rest, start, rest.length);
    return true;
  }

  /** Returns what follows. */
  #takePiece(chunk: Buffer): Buffer {
    const end = Math.min(this.#largeLeft, chunk.length);
    this.#largeLeft -= end;
    const sink = this.#large!;
    if (this.#largeLeft === 0) this.#large = undefined;
    sink.write(chunk, 0, end);
    return chunk.subarray(end);
  }

  #copyData(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length >= xLogHeader && bytes[start] === xLogData) this.#sink.message(bytes, start + xLogHeader, end);
    else if (length >= keepaliveLength && bytes[start] === keepalive)
      this.#sink.keepalive(bytes.readBigUInt64BE(start + 1), bytes[start + 17] === 1);
    else {
      const type = length > 0 ? String.fromCharCode(bytes[start]!) : '';
      throw new ProtocolError(type, 0, `not a message of the replication protocol, of ${length} bytes`);
    }
  }
}
