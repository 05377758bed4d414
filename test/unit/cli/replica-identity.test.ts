import { expect, test } from 'vitest';
import { type FormerIdentity, recordedIdentities, withIdentities } from '../../../src/cli/replica-identity.ts';
import { parseComment, withMarker } from '../../../src/setup/marker.ts';

const users: FormerIdentity = { schema: 'public', name: 'users', was: 'default', now: 'full' };
const marker = {
  version: 1,
  slot: 'a',
  systemIdentifier: '1',
  databaseOid: 2,
  publicationOid: 3,
  createdLsn: '0/1',
} as const;

test('what setup changed is kept beside the own text and the markers, and survives a worker that writes its marker', () => {
  const comment = withIdentities(withMarker('for the accounts team', marker), [users]);
  const later = withMarker(comment, { ...marker, slot: 'b' });
  expect(parseComment(later).markers.map(({ slot }) => slot)).toEqual(['a', 'b']);
  expect(later.split('\n')[0]).toBe('for the accounts team');
  expect(recordedIdentities(later)).toEqual([users]);
});

test('the first state of a table stands, however often setup changes it', () => {
  const once = withIdentities(null, [{ ...users, was: 'nothing', now: 'default' }]);
  const orders: FormerIdentity = { schema: 'erp', name: 'orders', was: 'index', index: 'orders_key', now: 'full' };
  expect(recordedIdentities(withIdentities(once, [users, orders]))).toEqual([{ ...users, was: 'nothing' }, orders]);
});

test('nothing changed leaves the comment alone', () => {
  expect(withIdentities(null, [])).toBe(null);
  expect(withIdentities('x', [])).toBe('x');
});

test.each([
  '',
  'walwatch setup: {',
  'walwatch setup: {"replicaIdentities":7}',
  `walwatch setup: {"replicaIdentities":[{"schema":"a","name":"b","was":"index","now":"full"}]}`,
  `walwatch setup: {"replicaIdentities":[{"schema":"a","name":"b","was":"DEFAULT; DROP TABLE b","now":"full"}]}`,
])('a line that somebody else has written is no record: %s', (comment) =>
  expect(recordedIdentities(comment)).toEqual([]),
);
