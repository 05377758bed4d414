/** `status().receiving`: the received part of a transaction that is still arriving. */
import { expect, test } from 'vitest';
import * as encode from '../../support/pgoutput-messages.ts';
import { begin, commit, described, plan, receiving, row } from '../../support/receiving.ts';

test('between transactions it is undefined; inside one it has the changes and bytes so far', () => {
  const { receiver, intake } = receiving();
  receiver.message(described);
  expect(intake.receiving).toBeUndefined();
  receiver.message(begin(256n));
  const facts = { xid: 7, committedAt: new Date(Date.UTC(2024, 0, 1)) };
  expect(intake.receiving).toEqual({ ...facts, changes: 0, bytes: 0 });
  for (const bytes of [row('1'), row('2')]) receiver.message(bytes);
  expect(intake.receiving).toEqual({ ...facts, changes: 2, bytes: row('1').length + row('2').length });
  receiver.message(commit(256n));
  expect(intake.receiving).toBeUndefined();
  receiver.message(begin(512n));
  expect(intake.receiving).toMatchObject({ changes: 0, bytes: 0 });
});

test('changes of tables without a watcher count, and so do those received over an earlier connection', () => {
  const { receiver, intake } = receiving({ plan: () => undefined });
  for (const bytes of [described, begin(256n), row('1'), row('2')]) receiver.message(bytes);
  expect(intake.receiving).toMatchObject({ changes: 2 });
  intake.connect(true);
  expect(intake.receiving).toBeUndefined();
  for (const bytes of [described, begin(256n), row('1')]) receiver.message(bytes);
  expect(intake.receiving).toMatchObject({ changes: 1, bytes: row('1').length });
});

test('in the middle of a value that arrives in pieces the bytes already increase', () => {
  const { receiver, intake } = receiving();
  for (const bytes of [described, begin(256n)]) receiver.message(bytes);
  const message = encode.insert(plan.relation.oid, ['1', 'a@b', null, 'x'.repeat(100_000)]);
  const sink = receiver.large(message[0]!, message.length)!;
  sink.write(message, 0, 40_000);
  expect(intake.receiving).toMatchObject({ changes: 0, bytes: 40_000 });
  sink.write(message, 40_000, message.length);
  expect(intake.receiving).toMatchObject({ changes: 1, bytes: message.length });
});
