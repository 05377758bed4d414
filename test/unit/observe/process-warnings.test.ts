/** Never silent: without a logger and listeners, failures are process warnings. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ConfigurationError, WatchError } from '../../../src/errors.ts';
import { ownListener } from '../../../src/observe/emitter.ts';
import { Reporter } from '../../../src/observe/reporter.ts';
import { recipient } from '../../support/delivering.ts';

const said = vi.fn();
beforeEach(() => void vi.spyOn(process, 'emitWarning').mockImplementation(said));
afterEach(() => {
  vi.restoreAllMocks();
  said.mockReset();
});
const lines = () => said.mock.calls.map(([text, { type, code }]) => `[${code}] ${type}: ${text}`);

const refused = new WatchError('CONNECTION', 'connect ECONNREFUSED 127.0.0.1:1', { solution: 'Look at the port.' });
const failure = (name: string | undefined, error: unknown, action: 'retry' | 'deadLetter' = 'retry') =>
  ({ recipient: recipient(() => {}, { name }), eventId: '0/1/0', attempt: 1, error, action, retryIn: 100 }) as const;
const gap = { from: '0/1', to: '0/2', reason: 'the slot was dropped' };
const over = new WatchError('SLOT_LOST', 'dropped', { solution: 'Create it again.' });

/** Everything that is worth a process warning. */
function tellAll(reporter: Reporter): void {
  reporter.disconnected(refused, 100);
  reporter.standby('worker', 7);
  reporter.handlerFailed(failure('mailer', new Error('no mail')), 'SELECT 1;');
  reporter.gap(gap);
  reporter.warn(new WatchError('WAL_RETAINED', 'much WAL', { solution: 'look' }));
  reporter.failed(over);
  reporter.endedUnawaited(over);
}

test('without logger and listeners each is one line that says what to do and where to read more', () => {
  tellAll(new Reporter(undefined, { slot: 'worker' }));
  expect(lines()).toEqual([
    '[CONNECTION] WalwatchWarning: worker: no connection: connect ECONNREFUSED 127.0.0.1:1. walwatch tries again. Look at the port. See walwatch/docs/reference/errors.md#connection',
    expect.stringMatching(
      /^\[SLOT_ACTIVE\] WalwatchWarning: worker: .* process 7 .*standby\. No action is needed if .*SELECT \* FROM .*; See walwatch\/docs\/reference\/errors\.md#slot_active$/,
    ),
    '[HANDLER_FAILED] WalwatchWarning: worker: mailer: the handler failed for event 0/1/0: Error: no mail. walwatch retries it, and the slot waits for it. To see it: SELECT 1; See walwatch/docs/reference/errors.md#handler_failed',
    expect.stringMatching(
      /^\[GAP\] WalwatchWarning: worker: changes from 0\/1 to 0\/2 were not received: the slot was dropped\. .*\. See walwatch\/docs\/reference\/errors\.md#gap$/,
    ),
    '[WAL_RETAINED] WalwatchWarning: worker: much WAL. look. See walwatch/docs/reference/errors.md#wal_retained',
    '[SLOT_LOST] WalwatchWarning: worker: the watch has ended: dropped. Create it again. See walwatch/docs/reference/errors.md#slot_lost',
  ]);
});

test('logger: false turns them off, and so does a logger', () => {
  const nothing = () => {};
  for (const logger of [false, { debug: nothing, info: nothing, warn: nothing, error: nothing }] as const)
    tellAll(new Reporter(logger, { slot: 'worker' }));
  expect(lines()).toEqual([]);
});

test('an event with a listener is not a process warning, except for listeners of this package', () => {
  const reporter = new Reporter(undefined, { slot: 'worker' });
  for (const event of ['disconnected', 'standby', 'handlerFailed', 'gap', 'warning', 'error'] as const)
    reporter.emitter.on(event, () => {});
  tellAll(reporter);
  expect(lines()).toEqual([]);

  const streaming = new Reporter(undefined, { slot: 'worker' });
  for (const event of ['standby', 'gap'] as const)
    streaming.emitter.on(
      event,
      ownListener(() => {}),
    );
  tellAll(streaming);
  expect(lines()).toHaveLength(6);
});

describe('a warning is given once', () => {
  test('for an outage, and not for one that ends with the next attempt', () => {
    const reporter = new Reporter(undefined, { slot: 'worker' });
    for (let attempt = 0; attempt < 3; attempt++) reporter.disconnected(refused, 100);
    expect(lines()).toHaveLength(1);
    for (let loss = 0; loss < 3; loss++) {
      reporter.streaming(0, undefined, undefined);
      reporter.disconnected(refused, 100);
    }
    expect(lines()).toHaveLength(1);
    for (let attempt = 0; attempt < 3; attempt++) reporter.disconnected(refused, 100);
    expect(lines()).toHaveLength(2);
  });

  test('for each process that has the slot while this worker is on standby', () => {
    const reporter = new Reporter(undefined, { slot: 'worker' });
    for (const pid of [7, 7, 8, 7]) reporter.standby('worker', pid);
    expect(lines().map((line) => /process (\d)/.exec(line)![1])).toEqual(['7', '8', '7']);
  });

  test('for each handler, by its name if it has one', () => {
    const reporter = new Reporter(undefined, { slot: 'worker' });
    const [one, other] = [failure(undefined, new Error('x')), failure(undefined, new Error('x'))];
    for (let attempt = 0; attempt < 3; attempt++)
      for (const failed of [one, other, failure('mailer', new Error('x'))]) reporter.handlerFailed(failed);
    expect(lines()).toHaveLength(3);
  });

  test('however many handlers fail, and other warnings are still given', () => {
    const reporter = new Reporter(undefined, { slot: 'worker' });
    for (let id = 0; id < 1000; id++) reporter.handlerFailed(failure(`user ${id}`, new Error('x')));
    expect(lines().length).toBeLessThanOrEqual(100);
    reporter.disconnected(refused, 100);
    expect(lines().at(-1)).toContain('no connection');
  });

  test('for each warning, whatever its figures, until it is over', () => {
    const reporter = new Reporter(undefined, { slot: 'worker' });
    const retained = (bytes: number) => new WatchError('WAL_RETAINED', `${bytes} bytes`);
    for (const bytes of [1, 2]) reporter.warnOnce([retained(bytes)]);
    reporter.warn(new WatchError('WAL_RETAINED', 'of another slot'));
    reporter.over([retained(2)]);
    reporter.warnOnce([retained(3)]);
    expect(lines()).toEqual([1, 'of another slot', 3].map((what) => `[WAL_RETAINED] WalwatchWarning: worker: ${typeof what === 'number' ? `${what} bytes` : what}. See walwatch/docs/reference/errors.md#wal_retained`)); // prettier-ignore
  });
});

test('it is one line without secrets, whatever the message contains', () => {
  const reporter = new Reporter(undefined, { stream: 'accounts', durable: 'mailer' });
  reporter.handlerFailed(failure('x', new Error('postgres://ann:hunter2@db failed\n  at line 2\u001b[31m')));
  reporter.endedUnawaited(
    new ConfigurationError([{ message: 'table "a" does not exist', solution: 'CREATE TABLE a ();' }]),
  );
  expect(lines()).toEqual([
    expect.not.stringMatching(/hunter2|\n|\u001b/), // oxlint-disable-line no-control-regex
    '[CONFIGURATION] WalwatchWarning: accounts/mailer: the watch has ended: table "a" does not exist. CREATE TABLE a (); See walwatch/docs/reference/errors.md#configuration',
  ]);
  expect(lines()[0]).toContain('at line 2');
});
