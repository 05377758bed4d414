/** One case of the decoder's fuzzing: a stream of messages, most of them damaged, and the rules that each must obey. */
import assert from 'node:assert/strict';
import { ProtocolError } from '../../src/errors.ts';
import { Decoder } from '../../src/postgres/pgoutput/decoder.ts';
import type { Message } from '../../src/postgres/pgoutput/messages.ts';
import { injure, someMessages } from './hostile-messages.ts';
import { type Random, randomOf } from './random.ts';

/** The result for a message: the message, or an error. */
type Outcome = Message | { readonly tag: 'error'; readonly error: ProtocolError };

/** The bytes around a message, which must have no effect. The first would end a string, the others could be read as one. */
const surroundings = [
  { before: 0, size: 0, filler: 0 },
  { before: 9, size: 50, filler: 0x00 },
  { before: 1, size: 400, filler: 0x74 },
];

class CaseFailed extends Error {}

/** How often each outcome occurred: `insert`, `error I`, `error other` … */
export type Seen = Map<string, number>;

export function fuzzCase(seed: number, index: number, seen: Seen): void {
  const random = randomOf((seed + Math.imul(index, 0x9e3779b1)) >>> 0);
  const messages = someMessages(random);
  const injured = messages.map((message) =>
    random.chance(0.4) ? injure(random, message, random.pick(messages)) : message,
  );
  // After the first damage an intact message may still make no sense.
  const firstInjury = injured.findIndex((message, at) => message !== messages[at]);
  const wanted = someProjection(random);
  const decoders = surroundings.map(() => new Decoder(wanted));
  injured.forEach((message, at) => {
    try {
      const outcomes = decoders.map((decoder, which) => decodeWithin(decoder, message, surroundings[which]!));
      check(outcomes, message, firstInjury === -1 || at < firstInjury);
      const { tag } = outcomes[0]!;
      const key = tag === 'error' ? `error ${letterOf(message)}` : tag;
      seen.set(key, (seen.get(key) ?? 0) + 1);
    } catch (cause) {
      const bytes = injured.slice(0, at + 1).map((one) => one.toString('hex'));
      throw new CaseFailed(
        `WALWATCH_FUZZ_SEED=${seed}, case ${index}, message ${at}: ${String(cause)}\n${bytes.join('\n')}`,
        { cause },
      );
    }
  });
}

function letterOf(message: Buffer): string {
  const letter = message.subarray(0, 1).toString('latin1');
  return letter !== '' && 'BCRIUDTMYO'.includes(letter) ? letter : 'other';
}

function someProjection(random: Random): ConstructorParameters<typeof Decoder>[0] {
  const kind = random.int(3);
  if (kind === 0) return () => undefined;
  return ({ columns }) => ({ wanted: columns.flatMap((_, index) => (kind === 1 || index % 2 === 1 ? [index] : [])) });
}

/** As pg-protocol passes messages on: inside a buffer that it uses again afterwards. */
function decodeWithin(decoder: Decoder, message: Buffer, around: (typeof surroundings)[number]): Outcome {
  const buffer = Buffer.alloc(message.length + around.size, around.filler);
  message.copy(buffer, around.before);
  const view = buffer.subarray(around.before, around.before + message.length);
  try {
    return decoder.decode(view);
  } catch (error) {
    if (error instanceof ProtocolError) return { tag: 'error', error };
    throw error;
  } finally {
    assert.equal(view.compare(message), 0, 'the message was written to');
    buffer.fill(around.filler ^ 0xff);
  }
}

function check(outcomes: readonly Outcome[], message: Buffer, whole: boolean): void {
  const [first, ...others] = outcomes.map(comparable);
  for (const other of others) assert.deepEqual(other, first, 'what lies around the message matters');
  const outcome = outcomes[0]!;
  if (outcome.tag !== 'error') {
    assert.ok(sizeOf(outcome) <= message.length, 'more came out than went in');
    return;
  }
  const { error } = outcome;
  assert.equal(error.messageType, message.subarray(0, 1).toString('latin1'));
  assert.ok(error.offset >= 0 && error.offset <= message.length, `offset ${error.offset}`);
  assert.ok(error.message.includes(JSON.stringify(error.messageType)) && error.message.includes(String(error.offset)));
  assert.ok(!whole, `a message that is whole was refused: ${error.message}`);
}

function comparable(outcome: Outcome): unknown {
  if (outcome.tag !== 'error') return outcome;
  const { message, messageType, offset } = outcome.error;
  return { message, messageType, offset };
}

/** The minimum length of a message that contains this: a byte for each value, column, relation and Latin letter. */
function sizeOf(outcome: Message): number {
  const tuple = (values: readonly unknown[]) =>
    values.reduce<number>((sum, value) => sum + 1 + (typeof value === 'string' ? Math.ceil(value.length / 3) : 0), 0);
  switch (outcome.tag) {
    case 'insert':
      return tuple(outcome.new);
    case 'update':
      return tuple(outcome.new) + tuple(outcome.old ?? []);
    case 'delete':
      return tuple(outcome.old);
    case 'truncate':
      return outcome.relations.length * 4;
    case 'relation':
      return outcome.relation.columns.length * 10;
    case 'message':
      return outcome.content!.length + outcome.prefix.length;
    default:
      return 1;
  }
}
