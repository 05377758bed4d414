import { ProtocolError } from '../../errors.ts';
import { type KnownRelation, keyOnly, newRow, wholeRow } from './known-relation.ts';
import { bytesPerValue, textBytes } from './memory.ts';
import type { Message, Tuple, TupleValue } from './messages.ts';
import { longestText, noteOversized } from './oversized.ts';

/** What a large message needs from the decoder. */
export interface Interest {
  /** @throws ProtocolError for a relation that was not described */
  known(oid: number): KnownRelation;
  /** `bytes`: the size of its content. */
  wantsMessage(prefix: string, bytes: number): boolean;
  /** Decodes a whole message: for kinds that are usually small. */
  decode(bytes: Buffer): Message;
}

/** The next step needs this many bytes at once. If negative: this many bytes are skipped. */
type Step = number;
type Steps<T> = Generator<Step, T, Buffer>;

/** Bytes. No subscription has a longer prefix. */
const longestPrefix = 65_536;
const nothing = Buffer.alloc(0);
/** The kinds of messages that may be large. */
const insert = 0x49; // 'I'
const update = 0x55; // 'U'
const deletion = 0x44; // 'D'
const logical = 0x4d; // 'M'

/** The message being decoded, as its steps see it. */
interface Decoding {
  fail(reason: string): never;
  /** Counts bytes of memory. */
  keep(bytes: number): void;
}

/**
 * Decodes one message in pieces while it arrives. Unneeded parts take no memory, however large they are, and a needed value is
 * assembled only once.
 */
export class LargeMessage {
  readonly #steps: Steps<Message>;
  readonly #type: string;
  readonly #length: number;
  #step: Step;
  /** The part that has arrived of the bytes that the current step needs. */
  #bytes = nothing;
  #filled = 0;
  /** Number of bytes of the message that were read. */
  #offset = 0;
  #message: Message | undefined;
  /** Bytes of memory that its values take. Values that were skipped take none. */
  kept = 0;

  constructor(type: number, length: number, interest: Interest) {
    this.#type = String.fromCharCode(type);
    this.#length = length;
    this.#steps = message(length, interest, {
      fail: (reason) => this.#fail(reason),
      keep: (bytes) => void (this.kept += bytes),
    });
    this.#step = this.#begun(this.#steps.next(nothing));
  }

  /** Takes the next bytes, from `start` to `end`. Returns the message when it is complete. @throws ProtocolError */
  write(bytes: Buffer, start: number, end: number): Message | undefined {
    let at = start;
    while (at < end) {
      if (this.#message) this.#fail(`${this.#length - this.#offset} bytes too many`);
      const wanted = Math.abs(this.#step) - this.#filled;
      const taken = Math.min(wanted, end - at);
      if (this.#step > 0) bytes.copy(this.#bytes, this.#filled, at, at + taken);
      at += taken;
      this.#filled += taken;
      this.#offset += taken;
      if (taken === wanted) this.#step = this.#begun(this.#steps.next(this.#bytes));
    }
    if (this.#offset < this.#length) return undefined;
    return this.#message ?? this.#fail('the message ends too early');
  }

  /** Allocates room for the next step. */
  #begun(result: IteratorResult<Step, Message>): Step {
    this.#filled = 0;
    this.#bytes = nothing;
    if (result.done) {
      this.#message = result.value;
      return 0;
    }
    const step = result.value;
    const left = this.#length - this.#offset;
    if (Math.abs(step) > left) this.#fail(`${Math.abs(step)} bytes expected, ${left} left`);
    if (step === 0) return this.#begun(this.#steps.next(nothing));
    if (step > 0) this.#bytes = Buffer.allocUnsafe(step);
    return step;
  }

  #fail(reason: string): never {
    throw new ProtocolError(this.#type, this.#offset, reason);
  }
}

function* message(length: number, interest: Interest, on: Decoding): Steps<Message> {
  const type = yield 1;
  switch (type[0]) {
    case insert:
    case update:
    case deletion:
      return yield* rowChange(type[0], interest, on);
    case logical:
      return yield* logicalMessage(length, interest, on);
    default:
      return interest.decode(Buffer.concat([type, yield length - 1]));
  }
}

function* logicalMessage(length: number, interest: Interest, on: Decoding): Steps<Message> {
  const head = yield 9;
  const transactional = (head[0]! & 1) === 1;
  const lsn = head.readBigUInt64BE(1);
  const letters: number[] = [];
  let letter = (yield 1)[0]!;
  while (letter !== 0 && letters.length < longestPrefix) {
    letters.push(letter);
    letter = (yield 1)[0]!;
  }
  const prefix = Buffer.from(letters).toString('utf8');
  if (letter !== 0) {
    yield letters.length + 11 - length; // the rest. 11: type, head, and the letter after the prefix
    return { tag: 'message', transactional, lsn, prefix, content: undefined };
  }
  const bytes = (yield 4).readUInt32BE();
  if (!interest.wantsMessage(prefix, bytes)) {
    yield -bytes;
    return { tag: 'message', transactional, lsn, prefix, content: undefined };
  }
  const content = yield bytes;
  on.keep(prefix.length + content.length);
  return { tag: 'message', transactional, lsn, prefix, content };
}

function* rowChange(type: number, interest: Interest, on: Decoding): Steps<Message> {
  const known = interest.known((yield 4).readUInt32BE());
  const { relation } = known;
  let marker = (yield 1)[0]!;
  let old: Tuple | undefined;
  if (type !== insert && (marker === keyOnly || marker === wholeRow)) {
    old = yield* tuple(known, marker, on);
    if (type === deletion) return { tag: 'delete', relation, old };
    marker = (yield 1)[0]!;
  }
  if (type === deletion) on.fail("expected 'K' or 'O' before the old row");
  if (marker !== newRow) on.fail("expected 'N' before the new row");
  const row = yield* tuple(known, marker, on);
  return type === insert ? { tag: 'insert', relation, new: row } : { tag: 'update', relation, old, new: row };
}

function* tuple(known: KnownRelation, marker: number, on: Decoding): Steps<Tuple> {
  const count = (yield 2).readUInt16BE();
  known.check(count, on);
  const values: TupleValue[] = [];
  for (let index = 0; index < count; index++) {
    const wants = known.wants(values.length, index);
    const kind = (yield 1)[0]!;
    if (kind === 0x74) {
      // 't'
      const length = (yield 4).readUInt32BE();
      if (wants && length <= longestText) {
        const text = (yield length).toString('utf8');
        on.keep(textBytes(text, length));
        values.push(text);
      } else {
        yield -length;
        if (!wants) continue;
        noteOversized(values, values.length, length);
        values.push(undefined);
      }
    } else if (kind === 0x6e) {
      // 'n'
      if (wants) values.push(known.nullOf(marker, index));
    } else if (kind === 0x75) {
      // 'u', unchanged TOAST
      if (wants) values.push(undefined);
    } else on.fail(`unknown kind of value 0x${kind.toString(16)}`);
  }
  on.keep(values.length * bytesPerValue);
  return values;
}
