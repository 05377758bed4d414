import { expect, test } from 'vitest';
import { judgeHealth, type Vitals } from '../../../src/cli/health.ts';

const well: Vitals = {
  broken: undefined, activePid: 42, walStatus: 'reserved', retainedBytes: 10, limitBytes: 100, retainedWalWarning: undefined, waitingSeconds: 0,
  idleTimeoutSeconds: null, standbysBehind: [], silentSeconds: 5, deadLetters: 0, waitingUnknown: undefined, failing: null,
}; // prettier-ignore

test.each([
  ['a connected worker that keeps up', {}, 'ok', []],
  ['no worker', { activePid: null }, 'problem', ['no worker is connected']],
  ['no worker, where the server gives up such a slot', { activePid: null, idleTimeoutSeconds: 120 }, 'problem', ['no worker is connected: the slot is lost after 2 min without one (idle_replication_slot_timeout)']],
  ['a standby that holds all changes back', { standbysBehind: ['waits for standby_1'] }, 'problem', ['waits for standby_1']],
  ['a slot about to be lost', { walStatus: 'unreserved' }, 'problem', [expect.stringContaining('about to be lost')]],
  ['WAL at 80 % of the limit', { retainedBytes: 80 }, 'ok', []],
  ['WAL above 80 % of the limit', { retainedBytes: 81 }, 'warning', ['81 bytes of WAL are held back']],
  ['much WAL without a limit', { retainedBytes: 1e12, limitBytes: undefined }, 'ok', []],
  ["WAL above the user's own threshold", { retainedWalWarning: 9 }, 'warning', ['10 bytes of WAL are held back']],
  ['an event of 10 s', { waitingSeconds: 10 }, 'ok', []],
  ['an event older than 10 s', { waitingSeconds: 11 }, 'warning', ['the oldest event waits since 11 s']],
  ['what waits when it cannot be read', { waitingUnknown: 'all slots are in use' }, 'warning', ['what waits is not known: all slots are in use']],
  ['a dead letter', { deadLetters: 1 }, 'warning', ['1 dead letter']],
  ['dead letters', { deadLetters: 2 }, 'warning', ['2 dead letters']],
  ['dead letters that cannot be counted', { deadLetters: 'no right' }, 'warning', ['whether there are dead letters is not known: no right']],
  ['an event that fails', { failing: { eventId: '0/1/0', attempt: 3 } }, 'warning', ['the handler of event 0/1/0 fails (attempt 3): see the log of the worker']],
  ['a worker that nothing was heard of for more than 40 s', { silentSeconds: 41 }, 'warning', [expect.stringContaining('nothing was heard of the worker for 41 s')]],
  ['a worker of which this role may not see when it was heard', { silentSeconds: null }, 'ok', []],
  ['several things', { waitingSeconds: 61, activePid: null }, 'problem', ['no worker is connected', expect.anything()]],
  ['a slot that is gone, which says all', { broken: 'gone', activePid: null }, 'problem', ['gone']],
] as const)('%s', (_, vitals, level, reasons) => {
  expect(judgeHealth({ ...well, ...vitals })).toEqual({ level, reasons });
}); // prettier-ignore
