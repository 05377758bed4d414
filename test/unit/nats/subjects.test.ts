import fc from 'fast-check';
import { expect, test } from 'vitest';
import { eventSubject, noKey, slotOf, slotSubject, subjectToken, watcherSubject } from '../../../src/nats/subjects.ts';

const anyText = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: fc.constantFrom('.', '*', '>', '=', '-', ' ', '\t', '\n', '\r', '\0', '$', 'a', 'ü', '😀', '3D') }),
  fc.string({ minLength: 100, maxLength: 300 }),
);

test('any text gives a valid token: not empty, no dot, no wildcard, no white space, not too long', () => {
  fc.assert(fc.property(anyText, (text) => /^[A-Za-z0-9_:=-]{1,130}$/.test(subjectToken(text))));
});

test('different texts have different tokens, and none is the token for events without a key', () => {
  fc.assert(
    fc.property(anyText, anyText, (one, other) => {
      if (one !== other) expect(subjectToken(one)).not.toBe(subjectToken(other));
      expect(subjectToken(one)).not.toBe(noKey);
    }),
  );
});

test.each([
  ['42', '42'],
  ['users:updated', 'users:updated'],
  ['', '='],
  ['a.b', 'a=2Eb'],
  ['=2E', '=3D2E'],
  ['ü', '=C3=BC'],
  ['x'.repeat(129), '=='],
])('the token of %j begins with %j', (text, token) => {
  expect(subjectToken(text).startsWith(token)).toBe(true);
});

test('the subjects of a watcher and of a slot match the subjects of their events', () => {
  expect(eventSubject('accounts', subjectToken('erp.Order Lines:updated'), '42')).toBe(
    'walwatch.accounts.erp=2EOrder=20Lines:updated.42',
  );
  expect(watcherSubject('accounts', 'users:updated')).toBe('walwatch.accounts.users:updated.>');
  expect(slotSubject('accounts')).toBe('walwatch.accounts.>');
});

test('the slot of a stream follows from its subjects', () => {
  expect(slotOf([slotSubject('accounts')])).toBe('accounts');
  expect(slotOf(['orders.>', 'walwatch.*.>'])).toBeUndefined();
  expect(slotOf([])).toBeUndefined();
});
