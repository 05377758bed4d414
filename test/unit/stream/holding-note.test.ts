import { expect, test } from 'vitest';
import { controlName, parseControlName } from '../../../src/stream/holding-note.ts';

const heldBy = { subscription: 'mailer', eventId: '16/B374D848/0', since: new Date(0), attempt: 4, error: undefined };

test('the name of a session shows the event that has failed, as far as there is room', () => {
  expect(controlName('worker', undefined)).toBe('walwatch/worker:control');
  expect(controlName('worker', { ...heldBy, attempt: 1 })).toBe('walwatch/worker:control');
  const name = controlName('worker', heldBy);
  expect(parseControlName('worker', name)).toEqual({ eventId: '16/B374D848/0', attempt: 4 });
  expect(parseControlName('other', name)).toBeUndefined();
  expect(parseControlName('worker', 'walwatch/worker:control')).toBeUndefined();
  const long = 'w'.repeat(63);
  expect(controlName(long, heldBy)).toBe(`walwatch/${long}:control`);
});
