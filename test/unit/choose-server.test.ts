import { expect, test } from 'vitest';
import { chooseServer } from '../support/server.ts';

test('a server that is given by URL has priority', () => {
  const url = 'postgres://example/db';
  expect(chooseServer({ WALWATCH_TEST_DATABASE_URL: url, WALWATCH_TEST_PG: '15' }, true)).toEqual({ kind: 'url', url });
});

test('without a URL, tests use a container if a Docker engine answers, otherwise the embedded binaries', () => {
  expect(chooseServer({}, true)).toEqual({ kind: 'docker', version: 17 });
  expect(chooseServer({}, false)).toEqual({ kind: 'embedded', version: 17 });
});

test('WALWATCH_TEST_PG chooses the version of a container and of the embedded binaries', () => {
  expect(chooseServer({ WALWATCH_TEST_PG: '14' }, true)).toEqual({ kind: 'docker', version: 14 });
  expect(chooseServer({ WALWATCH_TEST_PG: '18' }, false)).toEqual({ kind: 'embedded', version: 18 });
  expect(() => chooseServer({ WALWATCH_TEST_PG: '13' }, false)).toThrow("WALWATCH_TEST_PG is '13', not one of 14, 15");
});
