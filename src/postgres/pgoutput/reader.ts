import { ProtocolError } from '../../errors.ts';

/** Reads the fields of one message, and never beyond its end: a message that is too short is a `ProtocolError`. */
export class Reader {
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;
  #offset = 0;
  #end = 0;

  /** One reader serves the whole stream, so that a message needs no allocation. */
  open(bytes: Buffer, start = 0, end = bytes.length): void {
    this.#bytes = bytes;
    this.#start = this.#offset = start;
    this.#end = end;
  }

  /** Position within the message. */
  get offset(): number {
    return this.#offset - this.#start;
  }

  byte(): number {
    return this.#bytes[this.#advance(1)]!;
  }

  uint16(): number {
    const at = this.#advance(2);
    const bytes = this.#bytes;
    return (bytes[at]! << 8) | bytes[at + 1]!;
  }

  uint32(): number {
    const at = this.#advance(4);
    const bytes = this.#bytes;
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  }

  uint64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#advance(8));
  }

  int64(): bigint {
    return this.#bytes.readBigInt64BE(this.#advance(8));
  }

  /** A zero-terminated string. */
  string(): string {
    const from = this.#offset;
    const end = this.#bytes.indexOf(0, from);
    if (end === -1 || end >= this.#end) this.fail('a string without an end');
    this.#offset = end + 1;
    return this.#bytes.toString('utf8', from, end);
  }

  text(length: number): string {
    const from = this.#advance(length);
    return this.#bytes.toString('utf8', from, from + length);
  }

  /** A copy, because the bytes belong to a buffer with many messages. Not from Node's pool: the copy would keep its 8 KB alive. */
  copy(length: number): Buffer {
    const from = this.#advance(length);
    const copy = Buffer.allocUnsafeSlow(length);
    this.#bytes.copy(copy, 0, from, from + length);
    return copy;
  }

  skip(length: number): undefined {
    this.#advance(length);
  }

  end(): void {
    if (this.#offset !== this.#end) this.fail(`${this.#end - this.#offset} bytes too many`);
  }

  fail(reason: string): never {
    const type = this.#start === this.#end ? '' : String.fromCharCode(this.#bytes[this.#start]!);
    throw new ProtocolError(type, this.offset, reason);
  }

  #advance(length: number): number {
    const from = this.#offset;
    if (length > this.#end - from) this.fail(`${length} bytes expected, ${this.#end - from} left`);
    this.#offset = from + length;
    return from;
  }
}
