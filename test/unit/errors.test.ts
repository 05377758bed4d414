import { describe, expect, test } from 'vitest';
import {
  ConfigurationError,
  errorCodes,
  ProtocolError,
  thrownStack,
  thrownText,
  throwIssues,
  WatchError,
} from '../../src/errors.ts';

test('an error has a code, a solution and a cause', () => {
  const cause = new Error('below');
  const error = new WatchError('SLOT_LOST', 'gone', { solution: 'start again', cause });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({
    name: 'WatchError',
    code: 'SLOT_LOST',
    message: 'gone',
    solution: 'start again',
    cause,
  });
  expect(new WatchError('STOPPED', 'over')).toMatchObject({ solution: undefined, cause: undefined });
});

test('an error that is final in one situation may be retried in another', () => {
  expect(new WatchError('TLS', 'x', { retry: 'slowly' }).retry).toBe('slowly');
});

test('by default, only errors that can pass without action are retried', () => {
  const retried = errorCodes.map((code) => [code, new WatchError(code, '').retry] as const);
  expect(Object.fromEntries(retried.filter(([, retry]) => retry !== 'never'))).toEqual({
    CONNECTION: 'soon',
    SERVER_BUSY: 'slowly',
    SERVER_ERROR: 'slowly',
    SLOT_ACTIVE: 'soon',
    SLOT_BLOCKED: 'soon',
  });
});

describe('a configuration error', () => {
  const issue = { message: 'a is wrong', solution: 'do b' };

  test('with one problem has the text of that problem', () => {
    const error = new ConfigurationError([issue]);
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'CONFIGURATION', retry: 'never', issues: [issue] });
    expect(error).toMatchObject({ message: 'a is wrong\n    do b', solution: 'do b' });
  });

  test('with several problems lists all of them', () => {
    const error = new ConfigurationError([issue, { message: 'c is wrong', solution: undefined }]);
    expect(error.message).toBe('2 problems:\n  - a is wrong\n    do b\n  - c is wrong');
    expect(error.issues).toHaveLength(2);
    expect(error.solution).toMatch(/issues/);
  });

  test('is thrown only if there is a problem', () => {
    expect(() => throwIssues([])).not.toThrow();
    expect(() => throwIssues([issue])).toThrow(ConfigurationError);
  });
});

describe('any thrown value has a text', () => {
  test.each([
    ['an error', new TypeError('broken'), 'TypeError: broken'],
    ['a string', 'broken', 'broken'],
    ['nothing', undefined, 'undefined'],
    ['a value that cannot be turned into a string', Object.create(null), '[Object: null prototype] {}'],
  ])('%s', (_, thrown, text) => {
    expect(thrownText(thrown)).toBe(text);
  });

  test('and its stack, if it has one', () => {
    expect(thrownStack(new TypeError('broken'))).toMatch(/^TypeError: broken\n +at /);
    expect(thrownStack(Object.assign(new Error('broken'), { stack: undefined }))).toBe('Error: broken');
    expect(thrownStack('broken')).toBe('broken');
  });
});

test('a ProtocolError names the message type and the offset', () => {
  const error = new ProtocolError('I', 5, '4 bytes expected, 1 left');
  expect(error).toBeInstanceOf(WatchError);
  expect(error).toMatchObject({ name: 'ProtocolError', code: 'PROTOCOL', retry: 'never', messageType: 'I', offset: 5 });
  expect(error.message).toBe('pgoutput message "I", offset 5: 4 bytes expected, 1 left');
});
