import { describe, expect, test } from 'vitest';
import { ConfigurationError, WatchError } from '../../../src/errors.ts';
import { classify as classifyFor, stillStandby } from '../../../src/setup/classify.ts';
import type { Circumstances } from '../../../src/setup/verdict.ts';

const names = { slot: 'worker', publication: 'accounts' };
const classify = (error: unknown, now: Partial<Circumstances> = {}) => classifyFor(error, { ...names, ...now });
const failure = (message: string, more: object = {}) => Object.assign(new Error(message), more);

test('an error of walwatch is not changed', () => {
  const error = new WatchError('SLOT_LOST', 'gone');
  expect(classify(error)).toBe(error);
});

describe('errors with a SQLSTATE that walwatch knows', () => {
  test.each([
    ['28P01', 'AUTHENTICATION', 'never', 'never'],
    ['28000', 'AUTHENTICATION', 'never', 'never'],
    ['3D000', 'AUTHENTICATION', 'never', 'slowly'], // a database that is being restored under its name
    ['42501', 'PERMISSION', 'never', 'never'],
    ['P0001', 'PERMISSION', 'never', 'slowly'],
    ['25006', 'CONFIGURATION', 'never', 'slowly'],
    ['53100', 'SERVER_BUSY', 'slowly', 'slowly'],
    ['53200', 'SERVER_BUSY', 'slowly', 'slowly'],
    ['53300', 'SERVER_BUSY', 'slowly', 'slowly'],
    ['53400', 'SERVER_BUSY', 'slowly', 'slowly'],
    ['55P03', 'SERVER_BUSY', 'slowly', 'slowly'],
    ['57P03', 'SERVER_BUSY', 'soon', 'soon'], // a restart takes seconds
    ['40P01', 'SERVER_BUSY', 'soon', 'soon'],
    ['40001', 'SERVER_BUSY', 'soon', 'soon'],
    ['55006', 'SLOT_ACTIVE', 'soon', 'soon'],
    ['57P01', 'CONNECTION', 'soon', 'soon'], // the administrator ended the session
    ['08006', 'CONNECTION', 'soon', 'soon'],
    ['25P04', 'CONNECTION', 'soon', 'soon'], // transaction_timeout
  ])('%s is %s; retried at a first start: %s, after a first stream: %s', (code, expected, first, later) => {
    const cause = failure('what the server said', { code });
    const [start, reconnect] = [classify(cause), classify(cause, { streamed: true })];
    expect(start).toMatchObject({ code: expected, retry: first });
    expect(reconnect).toMatchObject({ code: expected === 'CONFIGURATION' ? 'SERVER_ERROR' : expected, retry: later });
    for (const error of [start, reconnect]) {
      expect(error.message).toContain('what the server said');
      expect(error.solution).toMatch(/\w/);
      if (error.retry !== 'never')
        expect(error).toMatchObject({ cause, solution: expect.stringMatching(/^walwatch tries again\. /) });
    }
  });
});

test.each(['42601', '42710', '42704', '22023', '0A000', 'XX000', 'XX001', '58030', '55000', '23505', 'HV000', 'F0000'])(
  '%s, which walwatch does not know, never ends a watch: it is retried slowly, and its code is shown',
  (code) => {
    const cause = failure('what the server said', { code });
    expect(classify(cause)).toMatchObject({
      code: 'SERVER_ERROR',
      retry: 'slowly',
      message: `what the server said (SQLSTATE ${code})`,
      cause,
    });
  },
);

describe('errors about slots', () => {
  test.each([
    ['42704', 'ReplicationSlotAcquire'],
    ['55000', 'ReplicationSlotAcquire'],
    ['55000', 'RaiseSlotInvalidationError'],
    ['55000', 'CreateDecodingContext'],
    ['55000', 'StartLogicalReplication'],
  ])('%s of %s: the next attempt reads from the catalog whether the slot is lost', (code, routine) => {
    const error = classify(failure('weg', { code, routine, detail: 'darum' }), { streamed: true });
    expect(error).toMatchObject({ code: 'SERVER_BUSY', retry: 'soon', message: 'weg: darum' });
    expect(error.solution).toContain('SELECT * FROM pg_catalog.pg_replication_slots;');
    expect(error.solution).not.toContain('pg_drop_replication_slot');
  });

  test('a slot that is being synchronized to a standby is not lost: the server has to be promoted', () => {
    const detail = 'This replication slot is being synchronized from the primary server.';
    const cause = failure('cannot use replication slot', { code: '55000', routine: 'CreateDecodingContext', detail });
    for (const streamed of [false, true]) {
      const error = classify(cause, { inRecovery: true, streamed });
      expect(error).toMatchObject({ code: 'SERVER_BUSY', retry: 'soon', cause });
      expect(error.message).toMatch(/still a standby.*being synchronized/);
      expect(error.solution).not.toContain('pg_drop_replication_slot');
    }
  });

  test('a server in recovery is never final', () => {
    const cause = failure('logical decoding cannot be used while in recovery', {
      code: '0A000',
      routine: 'CheckLogicalDecodingRequirements',
    });
    expect(classify(cause, { inRecovery: true })).toMatchObject({ code: 'SERVER_BUSY', retry: 'soon' });
    const write = failure('cannot execute COMMENT during recovery', {
      code: '25006',
      routine: 'PreventCommandDuringRecovery',
    });
    expect(classify(write)).toMatchObject({ code: 'SERVER_BUSY', retry: 'soon' });
    expect(stillStandby('x')).toMatchObject({ code: 'SERVER_BUSY', retry: 'soon' });
  });

  test('max_replication_slots = 0 is reported as such, not as a lost slot', () => {
    const cause = failure('replication slots can only be used if max_replication_slots > 0', {
      code: '55000',
      routine: 'CheckSlotRequirements',
    });
    expect(classify(cause)).toMatchObject({
      code: 'CONFIGURATION',
      retry: 'never',
      solution: expect.stringContaining('max_replication_slots'),
    });
    expect(classify(cause, { streamed: true })).toMatchObject({ code: 'SERVER_ERROR', retry: 'slowly' });
  });

  test('a slot that another worker has is not lost, although the same function reports it', () => {
    const active = failure('replication slot is active', { code: '55006', routine: 'ReplicationSlotAcquire' });
    expect(classify(active)).toMatchObject({ code: 'SLOT_ACTIVE', retry: 'soon' });
  });
});

describe('changes that are lost for good', () => {
  test('after a missing publication: the solution re-creates slot and publication', () => {
    const error = classify(failure('weg', { code: '42704', routine: 'get_publication_oid' }));
    expect(error).toMatchObject({ code: 'PUBLICATION_LOST', retry: 'never', message: 'weg' });
    expect(error.solution).toContain("pg_drop_replication_slot('worker')");
    expect(error.solution).toContain('DROP PUBLICATION IF EXISTS "accounts"');
  });

  test.each(['WalSndSegmentOpen', 'wal_segment_open', 'XLogReadDetermineTimeline'])(
    '58P01 of %s: the slot is lost, and onLost decides',
    (routine) => {
      const cause = failure('requested WAL segment 01 has already been removed', { code: '58P01', routine });
      const error = classify(cause, { confirmed: '0/20' });
      expect(error).toMatchObject({ code: 'SLOT_LOST', retry: 'never', cause });
      expect(error.message).toMatch(/segment 01.*changes after 0\/20/);
      expect(classify(cause, { recreates: true })).toMatchObject({ code: 'SLOT_LOST', retry: 'soon' });
    },
  );

  test('but not if another file is missing', () => {
    const cause = failure('could not open file', { code: '58P01', routine: 'SnapBuildRestore' });
    expect(classify(cause)).toMatchObject({ code: 'SERVER_ERROR', retry: 'slowly' });
  });
});

describe('a database that refuses writes', () => {
  test('because of default_transaction_read_only is a configuration error with the SQL to run', () => {
    const cause = failure('cannot execute CREATE PUBLICATION in a read-only transaction', {
      code: '25006',
      routine: 'PreventCommandIfReadOnly',
    });
    const error = classify(cause);
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain('default_transaction_read_only');
    expect(error.solution).toContain('ALTER ROLE');
  });

  test('because of an event trigger, with any SQLSTATE, is an error with its text and place', () => {
    const where = 'PL/pgSQL function no_ddl() line 3 at RAISE\nSQL statement';
    for (const code of ['P0001', 'P0004', '42501', '22023']) {
      const error = classify(failure('no DDL here', { code, routine: 'exec_stmt_raise', where }));
      expect(error).toMatchObject({ code: 'PERMISSION', retry: 'never' });
      expect(error.message).toMatch(/event trigger.*no DDL here \(PL\/pgSQL function no_ddl\(\) line 3 at RAISE\)$/);
    }
  });
});

describe('a password', () => {
  const wrong = failure('password authentication failed', { code: '28P01' });

  test('from a function: if it is refused after a first stream, that is reported, and a new one is requested', () => {
    // Amazon RDS uses 28000 for an expired IAM token.
    for (const cause of [wrong, failure('PAM authentication failed', { code: '28000' })]) {
      expect(classify(cause, { passwordFunction: true })).toMatchObject({ code: 'AUTHENTICATION', retry: 'never' });
      const later = classify(cause, { passwordFunction: true, streamed: true });
      expect(later).toMatchObject({
        code: 'AUTHENTICATION',
        retry: 'slowly',
        cause,
        solution: expect.stringContaining('tries again'),
      });
    }
    const none = new WatchError('AUTHENTICATION', 'the password function returned undefined');
    expect(classify(none, { passwordFunction: true, streamed: true })).toMatchObject({
      retry: 'slowly',
      message: none.message,
    });
  });

  test('that is fixed and refused is always final', () => {
    expect(classify(wrong, { streamed: true })).toMatchObject({ code: 'AUTHENTICATION', retry: 'never' });
  });

  test.each([
    'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string',
    'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a non-empty string',
  ])('that is missing is reported as such: %s', (text) => {
    expect(classify(failure(text))).toMatchObject({
      code: 'AUTHENTICATION',
      retry: 'never',
      message: expect.stringContaining('asks for a password'),
      solution: expect.stringContaining('PGPASSWORD'),
    });
  });

  test('whose exchange fails is AUTHENTICATION', () => {
    const cause = failure('SASL: SCRAM-SERVER-FINAL-MESSAGE: server signature does not match');
    expect(classify(cause)).toMatchObject({ code: 'AUTHENTICATION', retry: 'never', cause });
  });
});

describe('TLS', () => {
  test.each([
    failure('self-signed certificate', { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }),
    failure('certificate has expired', { code: 'CERT_HAS_EXPIRED' }),
    failure('unable to verify', { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }),
    failure("Hostname/IP does not match certificate's altnames", { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }),
    failure('no start line', { code: 'ERR_OSSL_PEM_NO_START_LINE' }),
    failure('wrong version number', { code: 'EPROTO' }),
    failure('The server does not support SSL connections'),
  ])(
    'that is refused or not trusted is final at a first start; later it is retried, because certificates can be replaced: $message',
    (cause) => {
      expect(classify(cause)).toMatchObject({ code: 'TLS', retry: 'never', cause });
      expect(classify(cause, { streamed: true })).toMatchObject({ code: 'TLS', retry: 'slowly', cause });
    },
  );

  test('that the server refuses for lack of memory or processes is retried', () => {
    const cause = failure('There was an error establishing an SSL connection');
    expect(classify(cause)).toMatchObject({ code: 'CONNECTION', retry: 'soon', cause });
  });
});

describe('something between walwatch and PostgreSQL', () => {
  test("that refuses walwatch's settings is UNSUPPORTED", () => {
    const cause = failure('unsupported startup parameter in options: datestyle', { code: '08P01' });
    expect(classify(cause)).toMatchObject({
      code: 'UNSUPPORTED',
      retry: 'never',
      solution: expect.stringContaining('pooler'),
    });
  });

  test('that cannot reach its server, such as PgBouncer, is retried', () => {
    expect(classify(failure('server login failed', { code: '08P01' }))).toMatchObject({
      code: 'CONNECTION',
      retry: 'soon',
    });
  });
});

test("a server older than 14, which does not know walwatch's settings, is reported as too old", () => {
  const cause = failure('unrecognized configuration parameter "idle_session_timeout"', { code: '42704' });
  expect(classify(cause)).toMatchObject({
    code: 'UNSUPPORTED',
    retry: 'never',
    message: expect.stringContaining('older than PostgreSQL 14'),
  });
});

test.each([
  failure('Cannot create a string longer than 0x1fffffe8 characters', { code: 'ERR_STRING_TOO_LONG' }),
  new RangeError('Invalid string length'),
])('a value that is too long for a string would be sent again and again, so it is final: $message', (cause) => {
  expect(classify(cause)).toMatchObject({
    code: 'UNSUPPORTED',
    retry: 'never',
    cause,
    message: expect.stringContaining('512 MB'),
  });
});

test('an unknown error is a lost connection, and is retried', () => {
  for (const code of ['ECONNREFUSED', 'ENOTFOUND', 'EPIPE', 'ECONNRESET', undefined])
    expect(classify(failure('Connection terminated', { code }))).toMatchObject({ code: 'CONNECTION', retry: 'soon' });
  expect(classify('a string')).toMatchObject({ code: 'CONNECTION', message: 'a string' });
  expect(classify(undefined)).toMatchObject({ code: 'CONNECTION', message: 'undefined' });
});

test('for a host with several addresses the first error is shown', () => {
  const cause = new AggregateError([
    failure('connect ECONNREFUSED ::1:5432'),
    failure('connect ECONNREFUSED 127.0.0.1'),
  ]);
  expect(classify(cause)).toMatchObject({ code: 'CONNECTION', message: 'connect ECONNREFUSED ::1:5432', cause });
});
