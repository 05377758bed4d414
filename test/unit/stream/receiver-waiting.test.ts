import { expect, test } from 'vitest';
import { ProtocolError } from '../../../src/errors.ts';
import * as encode from '../../support/pgoutput-messages.ts';
import { begin, commit, described, plan, receiving, row } from '../../support/receiving.ts';
import { deferred } from '../../support/until.ts';

const settle = () => new Promise((resolve) => process.nextTick(resolve));

/** A catalog that answers each question once, when the test lets it. */
function slowCatalog(questions: number) {
  const answers = Array.from({ length: questions }, () => deferred());
  let asked = 0;
  return { answers, described: () => answers[asked++]?.promise };
}

test('while the catalog is queried nothing overtakes: messages and keepalives wait, and reading is paused', async () => {
  const { answers, described: ask } = slowCatalog(1);
  const { receiver, told } = receiving({ described: ask });
  receiver.message(described);
  for (const bytes of [begin(256n), row('1'), commit(256n)]) receiver.message(bytes);
  receiver.keepalive(500n, false);
  await settle();
  expect(told).toEqual(['wait']);
  answers[0]!.resolve();
  await settle();
  const all = ['wait', '0/100/0=1', 'reached 264', 'confirmed 264', 'reached 500', 'confirmed 500', 'keepalive 500'];
  expect(told).toEqual([...all, 'go on']);
  receiver.keepalive(600n, false);
  expect(told.at(-1)).toBe('keepalive 600');
});

test('waiting messages are copies, because the buffer is used again', async () => {
  const { answers, described: ask } = slowCatalog(1);
  const { receiver, told, failures } = receiving({ described: ask });
  receiver.message(described);
  for (const bytes of [begin(256n), row('1')]) {
    receiver.message(bytes);
    bytes.fill(0xff);
  }
  answers[0]!.resolve();
  await settle();
  expect(failures).toEqual([]);
  expect(told).toContain('0/100/0=1');
});

test('a second query while catching up keeps the order too, and reading continues only after the last answer', async () => {
  const { answers, described: ask } = slowCatalog(2);
  const { receiver, told } = receiving({ described: ask });
  receiver.message(described);
  for (const bytes of [begin(256n), row('1'), described, row('2')]) receiver.message(bytes);
  answers[0]!.resolve();
  await settle();
  expect(told).toEqual(['wait', '0/100/0=1', 'wait']);
  receiver.message(row('3')); // already arriving when reading was paused
  answers[1]!.resolve();
  await settle();
  expect(told).toEqual(['wait', '0/100/0=1', 'wait', '0/100/1=2', '0/100/2=3', 'go on']);
});

test('a catalog that does not answer, and invalid bytes among the waiting messages, end the connection', async () => {
  const { answers, described: ask } = slowCatalog(2);
  const one = receiving({ described: ask });
  one.receiver.message(described);
  answers[0]!.reject(new Error('lost'));
  const other = receiving({ described: ask });
  other.receiver.message(described);
  other.receiver.message(Buffer.from('?'));
  answers[1]!.resolve();
  await settle();
  expect(one.failures).toEqual([new Error('lost')]);
  expect(other.failures).toEqual([expect.any(ProtocolError)]);
  one.receiver.keepalive(1n, true);
  expect(one.told).toEqual(['wait']);
});

test.each(['resolves', 'rejects'])(
  'closed while the catalog is queried: nothing follows when it %s',
  async (outcome) => {
    const { answers, described: ask } = slowCatalog(1);
    const { receiver, told, failures } = receiving({ described: ask });
    receiver.message(described);
    receiver.message(begin(256n));
    receiver.close();
    if (outcome === 'resolves') answers[0]!.resolve();
    else answers[0]!.reject(new Error('lost'));
    await settle();
    receiver.message(row('1'));
    receiver.keepalive(500n, true);
    expect([told, failures]).toEqual([['wait'], []]);
  },
);

test('once the catalog has answered, everything is planned again: a new partition changes the facts about its root', async () => {
  const { answers, described: ask } = slowCatalog(2);
  let asked = 0;
  const { receiver } = receiving({
    described: ask,
    plan: () => {
      asked++;
      return plan;
    },
  });
  receiver.message(described);
  answers[0]!.resolve();
  await settle();
  for (const bytes of [begin(256n), row('1'), row('2')]) receiver.message(bytes);
  expect(asked).toBe(1);
  receiver.message(encode.relation({ ...plan.relation, oid: 99, name: 'a_partition' }));
  answers[1]!.resolve();
  await settle();
  for (const id of ['3', '4']) receiver.message(row(id));
  expect(asked).toBe(2);
});

test('a message in pieces is assembled while the catalog is queried, because its needed columns are not known yet', () => {
  const { described: ask } = slowCatalog(1);
  const { receiver } = receiving({ described: ask });
  expect(receiver.large(0x49, 2_000_000)).toBeDefined();
  receiver.message(described);
  expect(receiver.large(0x49, 2_000_000)).toBeUndefined();
});
