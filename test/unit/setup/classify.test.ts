import { expect, test } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
import { classify as classifyFor } from '../../../src/setup/classify.ts';

const names = { slot: 'worker', publication: 'accounts' };
const classify = (error: unknown) => classifyFor(error, names);
const failure = (message: string, more: object = {}) => Object.assign(new Error(message), more);

test('an error of walwatch stays what it is', () => {
  const error = new WatchError('SLOT_LOST', 'gone');
  expect(classify(error)).toBe(error);
});

test.each([
  ['28P01', 'AUTHENTICATION', 'never'],
  ['28000', 'AUTHENTICATION', 'never'],
  ['3D000', 'AUTHENTICATION', 'never'],
  ['53300', 'SERVER_BUSY', 'slowly'],
  ['53400', 'SERVER_BUSY', 'slowly'],
  ['55P03', 'SERVER_BUSY', 'slowly'],
  ['57P03', 'SERVER_BUSY', 'slowly'],
  ['42501', 'PERMISSION', 'never'],
  ['55006', 'SLOT_ACTIVE', 'soon'],
  ['42601', 'UNSUPPORTED', 'never'], // syntax error: a pooler that does not know the replication grammar
  ['0A000', 'UNSUPPORTED', 'never'],
  ['XX000', 'CONNECTION', 'soon'], // a table was dropped while the catalog was read
  ['XX001', 'UNSUPPORTED', 'never'],
  ['57P01', 'CONNECTION', 'soon'], // the administrator ended the session
  ['08P01', 'UNSUPPORTED', 'never'], // a pooler
  ['55000', 'CONNECTION', 'soon'], // of anything but the slot
  ['42704', 'UNSUPPORTED', 'never'], // of anything but slot and publication
  ['ECONNREFUSED', 'CONNECTION', 'soon'],
  ['ENOTFOUND', 'CONNECTION', 'soon'],
])('%s is %s, retried: %s', (code, expected, retry) => {
  const cause = failure('what the server said', { code });
  expect(classify(cause)).toMatchObject({ code: expected, retry, message: 'what the server said', cause });
});

// The texts are translated, the names of the C functions are not.
test.each([
  ['42704', 'get_publication_oid', 'PUBLICATION_LOST'],
  ['42704', 'ReplicationSlotAcquire', 'SLOT_LOST'],
  ['55000', 'ReplicationSlotAcquire', 'SLOT_LOST'],
  ['55000', 'CreateDecodingContext', 'SLOT_LOST'],
  ['55000', 'StartLogicalReplication', 'SLOT_LOST'],
])('%s of %s is %s, with what to do about this slot and publication', (code, routine, expected) => {
  const error = classify(failure('weg', { code, routine }));
  expect(error).toMatchObject({ code: expected, retry: 'never', message: expect.stringContaining('weg') });
  expect(error.solution).toContain("pg_drop_replication_slot('worker')");
  if (expected === 'PUBLICATION_LOST') expect(error.solution).toContain('DROP PUBLICATION IF EXISTS "accounts"');
});

test('a slot that another worker has is not lost, though the same function says so', () => {
  const active = failure('replication slot is active', { code: '55006', routine: 'ReplicationSlotAcquire' });
  expect(classify(active)).toMatchObject({ code: 'SLOT_ACTIVE', retry: 'soon' });
});

test.each([
  failure('self-signed certificate', { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }),
  failure('certificate has expired', { code: 'CERT_HAS_EXPIRED' }),
  failure('unable to verify', { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }),
  failure("Hostname/IP does not match certificate's altnames", { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }),
  failure('wrong version number', { code: 'EPROTO' }),
  failure('The server does not support SSL connections'),
])('an untrusted or refused TLS connection is TLS, and not tried again: $message', (cause) => {
  expect(classify(cause)).toMatchObject({ code: 'TLS', retry: 'never', cause });
});

test('what is not known is a lost connection, which is tried again', () => {
  expect(classify(failure('Connection terminated unexpectedly'))).toMatchObject({ code: 'CONNECTION', retry: 'soon' });
  expect(classify('a string')).toMatchObject({ code: 'CONNECTION', message: 'a string' });
});

test('a host with several addresses gives the message of the first', () => {
  const cause = new AggregateError([
    failure('connect ECONNREFUSED ::1:5432'),
    failure('connect ECONNREFUSED 127.0.0.1'),
  ]);
  expect(classify(cause)).toMatchObject({ code: 'CONNECTION', message: 'connect ECONNREFUSED ::1:5432', cause });
});

test('what the user can mend comes with what to do', () => {
  for (const code of [
    '28P01',
    '28000',
    '3D000',
    '53300',
    '53400',
    '55P03',
    '57P03',
    '42501',
    '08P01',
    '55006',
    'EPROTO',
    '42601',
    'ECONNRESET',
  ])
    expect(classify(failure('x', { code })).solution).toMatch(/\w/);
});
