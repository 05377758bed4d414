import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ProtocolError } from '../errors.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { ReadPace } from './read-pace.ts';

/** Receives a large message piece by piece. */
export interface LargeMessageSink {
  /** The next piece: `bytes` from `start` up to `end`. */
  write(bytes: Buffer, start: number, end: number): void;
}

/** Receives the messages of a replication stream. Called in the socket's callback: must not throw and must not keep the bytes. */
export interface CopySink {
  /** One message of the output plugin: `bytes` from `start` up to `end`. */
  message(bytes: Buffer, start: number, end: number): void;
  /**
   * A message of `length` bytes that begins with `type` is arriving. Returns the receiver of its pieces, or undefined to
   * get it in one piece.
   */
  large(type: number, length: number): LargeMessageSink | undefined;
  keepalive(walEnd: Lsn, replyRequested: boolean): void;
}

const copyData = 0x64; // 'd'
const xLogData = 0x77; // 'w'
const keepalive = 0x6b; // 'k'
/** Length of the message header: type and length. */
const header = 5;
/** 'w', start and end of WAL, time. */
const xLogHeader = 25;
/** Bytes of a plugin message up to and including its type. */
const beginning = header + xLogHeader + 1;
/** 'k', end of WAL, time, whether a reply is requested. */
const keepaliveLength = 18;
/** Bytes. Larger messages are passed on in pieces, because watchers may need only a small part of them. */
const large = 0x10_0000;
/** Bytes. PostgreSQL never sends a larger message (MaxAllocSize). */
const longest = 0x4000_0000;

/**
 * Reads the socket instead of pg after START_REPLICATION. Parses copy messages directly in the received buffer, many at
 * a time, and passes all other messages to pg.
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */
export class CopyStream {
  readonly #stream: Duplex;
  readonly #sink: CopySink;
  readonly #others: (bytes: Buffer) => void;
  readonly #pace = new ReadPace();
  /** Only TCP sockets can buffer enough to read in bursts: a Unix socket holds about 200 messages, then the sender blocks. */
  readonly #piles: boolean;
  /** The start of an incomplete message, and the number of bytes needed before parsing can continue. */
  #rest: Buffer[] = [];
  #restLength = 0;
  #needed = 0;
  /** A large message that is passed on in pieces, and how many of its bytes are still missing. */
  #large: LargeMessageSink | undefined;
  #largeLeft = 0;
  /** Bytes that were read but not parsed when reading paused. */
  #held: Buffer | undefined;
  #paused = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Immediate | undefined;

  /** Must be created between two messages: pg must not hold the start of one. */
  constructor(stream: Duplex, sink: CopySink) {
    this.#stream = stream;
    this.#sink = sink;
    this.#piles = (stream as Partial<Socket>).remotePort !== undefined;
    this.#others = stream.listeners('data')[0] as (bytes: Buffer) => void;
    stream.removeAllListeners('data');
    // Node emits one event per TLS record. Waiting for setImmediate reads everything that one poll of the socket brought.
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
    queueMicrotask(() => this.#readable()); // the caller that freed memory is in the middle of a delivery
  }

  /** Stops reading for good. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#soon);
  }

  /** Runs in the socket's callback, where a throw would be an uncaught exception: errors end the connection instead. */
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
      const bytes = this.#readAll();
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

  /** Reads everything available: Node 26 returns one chunk per call. Passing a length would make the stream buffer more and more. */
  #readAll(): Buffer | null {
    const bytes = this.#stream.read() as Buffer | null;
    if (bytes === null || this.#stream.readableLength === 0) return bytes;
    const chunks = [bytes];
    while (this.#stream.readableLength > 0) chunks.push(this.#stream.read() as Buffer);
    return Buffer.concat(chunks);
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
        // The receiver of a large message must be given its type, so wait at least for that.
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
    // Keep a slice of the chunk if possible, so that a large message before it is not kept in memory.
    this.#rest = [this.#restLength <= chunk.length ? chunk.subarray(-this.#restLength) : bytes.subarray(start)];
  }

  /**
   * Whether the incomplete message is passed on in pieces. Decided when the next chunk is here, because handling the
   * messages before it may have paused reading.
   */
  #beginsLarge(): boolean {
    const [rest, more] = this.#rest;
    if (this.#needed <= large || rest === undefined || more !== undefined) return false; // or it was decided before
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

  /** Returns the bytes after the large message. */
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
