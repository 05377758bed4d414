import { expect, test, vi } from 'vitest';
import { Budget } from '../../../src/changes/budget.ts';
import { type Captured, Ledger } from '../../../src/changes/ledger.ts';
import { maxAnnotationBytes } from '../../../src/postgres/logical-messages.ts';
import { Intake } from '../../../src/stream/intake.ts';
import { planFor, usersTable } from '../../support/sample-tables.ts';

const plan = planFor(usersTable(), ['users', 'inserted']);

function intaking() {
  const received: Captured[] = [];
  const refused = vi.fn<(xid: number | undefined, reason: string) => void>();
  const ledger = new Ledger(new Budget(1_000_000, vi.fn(), vi.fn()), vi.fn());
  const intake = new Intake(ledger, {
    emit: (captured) => void received.push(captured),
    wantsCommits: false,
    wantsMessages: (prefix) => prefix === 'outbox',
    refusedAnnotation: refused,
  });
  const send = (prefix: string, content: Buffer | undefined, transactional = true) =>
    intake.message({ tag: 'message', transactional, lsn: 1n, prefix, content }, 100);
  return {
    intake,
    refused,
    received,
    begin: (finalLsn = 0x100n) => intake.begin({ tag: 'begin', finalLsn, committedAt: 0, xid: 7 }),
    commit: (commitLsn = 0x100n) => intake.commit({ tag: 'commit', commitLsn, endLsn: commitLsn + 8n }),
    insert: () => intake.change({ tag: 'insert', relation: plan.relation, new: ['1'] }, () => plan, 100),
    message: () => send('outbox', Buffer.from('x')),
    annotate: (annotations: unknown, transactional = true) =>
      send('walwatch:annotations', Buffer.from(JSON.stringify(annotations)), transactional),
    write: (content: Buffer | undefined) => send('walwatch:annotations', content),
    annotations: () => received.map(({ annotations }) => annotations),
  };
}

test('an annotation applies to the changes and messages after it, and a second one merges over it', () => {
  const { begin, insert, message, annotate, annotations } = intaking();
  begin();
  insert();
  annotate({ actor: 'user:7', requestId: 'a' });
  insert();
  message();
  annotate({ requestId: 'b' });
  insert();
  expect(annotations()).toEqual([
    {},
    { actor: 'user:7', requestId: 'a' },
    { actor: 'user:7', requestId: 'a' },
    { actor: 'user:7', requestId: 'b' },
  ]);
});

test('annotations end with their transaction', () => {
  const { begin, commit, insert, annotate, annotations } = intaking();
  begin();
  annotate({ actor: 'a' });
  insert();
  commit();
  begin(0x200n);
  insert();
  expect(annotations()).toEqual([{ actor: 'a' }, {}]);
});

test('after a reconnect in the middle of a transaction the rest of its changes have its annotations', () => {
  const { intake, begin, insert, annotate, annotations } = intaking();
  begin();
  annotate({ actor: 'a' });
  insert();
  intake.connect(true);
  begin();
  annotate({ actor: 'a' });
  insert();
  annotate({ step: 2 });
  insert();
  expect(annotations()).toEqual([{ actor: 'a' }, { actor: 'a', step: 2 }]);
});

test('changes with the same annotations share one frozen object, and its bytes are counted once', () => {
  const { begin, insert, annotate, received } = intaking();
  begin();
  insert();
  annotate({ text: 'x'.repeat(10_000) });
  insert();
  insert();
  const [bare, first, second] = received;
  expect(first!.annotations).toBe(second!.annotations);
  expect(Object.isFrozen(first!.annotations)).toBe(true);
  expect(first!.bytes - bare!.bytes).toBeGreaterThan(10_000);
  expect(second!.bytes).toBe(bare!.bytes);
});

test('a key __proto__ is only a key', () => {
  const { begin, insert, write, annotations, refused } = intaking();
  begin();
  write(Buffer.from('{"__proto__": {"polluted": true}, "actor": "a"}'));
  insert();
  const [found] = annotations();
  expect(Object.getPrototypeOf(found)).toBe(Object.prototype);
  expect(Object.keys(found!)).toEqual(['__proto__', 'actor']);
  expect(found).not.toHaveProperty('polluted');
  expect(({} as { polluted?: true }).polluted).toBeUndefined();
  expect(refused).not.toHaveBeenCalled();
});

const nested = (levels: number) => `{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`;

test.each([
  ['is not JSON', Buffer.from('{"actor"'), 'it is not JSON'],
  ['is not UTF-8', Buffer.from([0xff, 0xfe]), 'it is not JSON'],
  ['is empty', Buffer.alloc(0), 'it is not JSON'],
  ['is an array', Buffer.from('[1]'), 'it is not a JSON object'],
  ['is null', Buffer.from('null'), 'it is not a JSON object'],
  ['is nested 30,000 levels deep', Buffer.from(nested(30_000)), 'its values are nested more than 64 levels deep'],
  [
    'was too large to be decoded',
    undefined,
    'the annotations of a transaction may take at most 65536 bytes of JSON together',
  ],
])('an annotation that %s is refused, and the earlier ones stay', (_, content, reason) => {
  const { begin, insert, annotate, write, annotations, refused } = intaking();
  begin();
  annotate({ actor: 'a' });
  write(content);
  insert();
  expect(annotations()).toEqual([{ actor: 'a' }]);
  expect(refused.mock.calls).toEqual([[7, reason]]);
});

test('an annotation outside of transactions is refused', () => {
  const { annotate, begin, insert, annotations, refused } = intaking();
  annotate({ actor: 'a' }, false);
  begin();
  insert();
  expect(annotations()).toEqual([{}]);
  expect(refused).toHaveBeenCalledExactlyOnceWith(undefined, 'it was not written as a transactional message');
});

test('the annotations of a transaction are bounded together: replacing a value costs nothing, new keys do', () => {
  const { begin, annotate, insert, annotations, refused } = intaking();
  begin();
  const half = 'x'.repeat(maxAnnotationBytes / 2);
  for (let round = 0; round < 10; round++) annotate({ half });
  expect(refused).not.toHaveBeenCalled();
  annotate({ other: half });
  insert();
  expect(refused).toHaveBeenCalledOnce();
  expect(Object.keys(annotations()[0]!)).toEqual(['half']);
});

test('an annotation of a transaction that is refused more than once is reported once', () => {
  const { begin, commit, write, refused } = intaking();
  begin();
  for (let round = 0; round < 1000; round++) write(Buffer.from('x'));
  commit();
  begin(0x200n);
  write(Buffer.from('x'));
  expect(refused).toHaveBeenCalledTimes(2);
});

test('only annotations that can be used are decoded, and messages that a subscription wants', () => {
  const { intake } = intaking();
  expect(intake.wantsMessage('outbox', 1e9)).toBe(true);
  expect(intake.wantsMessage('other', 1)).toBe(false);
  expect(intake.wantsMessage('walwatch:annotations', maxAnnotationBytes)).toBe(true);
  expect(intake.wantsMessage('walwatch:annotations', maxAnnotationBytes + 1)).toBe(false);
});

test('any role may write a hundred thousand annotations in a transaction: merging one does not copy the keys of the others', () => {
  const { begin, insert, annotate, annotations } = intaking();
  begin();
  annotate(Object.fromEntries(Array.from({ length: 6000 }, (_, key) => [`k${key}`, 0])));
  for (let count = 0; count < 100_000; count++) annotate({ k1: count }); // with a copy for each of them: about ten minutes
  insert();
  expect(annotations()).toMatchObject([{ k0: 0, k1: 99_999, k5999: 0 }]);
});
