/** What annotate(), emit() and message() refuse before they send anything. */
import { describe, expect, test } from 'vitest';
import { ReceivedAnnotations } from '../../../src/changes/annotations.ts';
import { ConfigurationError } from '../../../src/errors.ts';
import { createOutbox } from '../../../src/outbox/index.ts';
import { maxAnnotationBytes, maxAnnotationLevels } from '../../../src/postgres/logical-messages.ts';

const outbox = createOutbox();
/** A connection that must not be used, or one that remembers how. */
const unused = {
  query(): Promise<never> {
    throw new Error('a statement was sent');
  },
};
const remembering = () => {
  const sent: unknown[][] = [];
  return { sent, query: async (_: string, values: unknown[]) => void sent.push(values) };
};
const messagesOf = async (promise: Promise<void>): Promise<readonly string[]> => {
  const error = await promise.then(() => undefined, (reason: unknown) => reason); // prettier-ignore
  expect(error).toBeInstanceOf(ConfigurationError);
  return (error as ConfigurationError).issues.map(({ message }) => message);
};

test('all mistakes of a call are reported at once', async () => {
  const promise = outbox.emit(undefined as never, '', { a: 1n, b: new Date(0) }, { key: 7, kee: '7' } as never);
  expect(await messagesOf(promise)).toEqual([
    'the executor must be the client or transaction of pg, Kysely, Drizzle, Prisma or postgres.js, but is undefined',
    'the name of a message must be a non-empty string without NUL and lone surrogates, but is ""',
    'value.a is a bigint (1n)',
    'value.b is a Date',
    "unknown option 'kee'",
    'key must be a string, but is 7',
  ]);
});

test.each([
  [null, 'null'],
  [7, '7'],
  [{ password: 'secret' }, 'an object without their methods'],
  [new (class Repository {})(), 'an instance of Repository'],
  [Promise.resolve(), 'an instance of Promise'],
  [() => {}, 'a function'],
])('%o is no executor', async (executor, shown) => {
  expect(await messagesOf(outbox.emit(executor as never, 'm', 1))).toEqual([
    `the executor must be the client or transaction of pg, Kysely, Drizzle, Prisma or postgres.js, but is ${shown}`,
  ]);
});

describe('the name of a message', () => {
  test.each(['', 'a\0b', '\ud800', 7, undefined, null])('%j is refused', async (name) => {
    expect(await messagesOf(outbox.emit(unused, name as never, 1))).toHaveLength(1);
    expect(() => outbox.message(name as never)).toThrow(ConfigurationError);
  });

  test('becomes the end of the prefix', () => {
    expect(outbox.message('order.placed')).toEqual({ name: 'order.placed', prefix: 'walwatch:message:order.placed' });
  });
});

test.each([null, [], 'order-7', 7])('the options %j are refused', async (options) => {
  const [message] = await messagesOf(outbox.emit(unused, 'm', 1, options as never));
  expect(message).toMatch(/^options must be an object, but is /);
});

describe('annotations', () => {
  test.each([null, undefined, [], 'user:7', new Map(), new Date(0)])('%o are refused', async (annotations) => {
    const [message] = await messagesOf(outbox.annotate(unused, annotations as never));
    expect(message).toMatch(/^annotations must be a plain object, but is /);
  });

  test('that are not JSON are refused', async () => {
    expect(await messagesOf(outbox.annotate(unused, { actor: 7n, at: [new Date(0)] }))).toEqual([
      'annotations.actor is a bigint (7n)',
      'annotations.at[0] is a Date',
    ]);
  });

  test('of exactly 64 KiB in UTF-8 are written, and with one byte more refused', async () => {
    const note = 'ü'.repeat((maxAnnotationBytes - '{"note":""}'.length - 1) / 2);
    const executor = remembering();
    await outbox.annotate(executor, { note: note + '1' });
    expect(executor.sent).toHaveLength(1);
    expect(await messagesOf(outbox.annotate(unused, { note: note + '12' }))).toEqual([
      'the annotations have 65537 bytes as JSON; the maximum is 65536',
    ]);
  });

  test('are written exactly when the reader accepts them: 64 levels deep, and no deeper', async () => {
    let deep: unknown = 1;
    for (let level = 1; level < maxAnnotationLevels; level++) deep = [deep];
    const executor = remembering();
    await outbox.annotate(executor, { deep });
    const [[, content]] = executor.sent as [[string, string]];
    expect(new ReceivedAnnotations().merge(Buffer.from(content, 'base64'))).toBeUndefined();
    expect(await messagesOf(outbox.annotate(unused, { deep: [deep] }))).toEqual([
      'annotations: more than 64 objects and arrays inside each other',
    ]);
  });

  test('without a value are left out', async () => {
    const executor = remembering();
    await outbox.annotate(executor, { actor: 'a', requestId: undefined });
    expect(executor.sent).toEqual([['walwatch:annotations', Buffer.from('{"actor":"a"}').toString('base64')]]);
  });
});

test('a client that is busy may be in a transaction that it has not heard of yet', async () => {
  const idle = { ...unused, getTransactionStatus: () => 'I', readyForQuery: true };
  expect(await messagesOf(outbox.emit(idle, 'm', 1))).toEqual(['this client is not in a transaction']);
  const busy = { ...remembering(), getTransactionStatus: () => 'I', readyForQuery: false };
  await outbox.emit(busy, 'm', 1);
  expect(busy.sent).toHaveLength(1);
});
