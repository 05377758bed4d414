import { expect, test } from 'vitest';
import { judgeHealth, type Vitals } from '../../../src/cli/health.ts';

const well: Vitals = {
  broken: undefined, activePid: 42, walStatus: 'reserved', retainedBytes: 10, limitBytes: 100, retainedWalWarning: undefined, waitingSeconds: 0,
  idleTimeoutSeconds: null, standbysBehind: [], silentSeconds: 5, deadLetters: 0, waitingUnknown: undefined, failing: null,
}; // prettier-ignore

test.each([
  ['a connected worker that keeps up', {}, 'ok', []],
  ['no worker', { activePid: null }, 'problem', ['no worker is connected']],
  ['no worker, with an idle timeout', { activePid: null, idleTimeoutSeconds: 120 }, 'problem', ['no worker is connected: after 2 min without one the slot is lost (idle_replication_slot_timeout)']],
  ['a standby that holds all changes back', { standbysBehind: ['waits for standby_1'] }, 'problem', ['waits for standby_1']],
  ['a slot about to be lost', { walStatus: 'unreserved' }, 'problem', [expect.stringContaining('will soon be lost')]],
  ['WAL at 80 % of the limit', { retainedBytes: 80 }, 'ok', []],
  ['WAL above 80 % of the limit', { retainedBytes: 81 }, 'warning', ['the slot retains 81 bytes of WAL']],
  ['much WAL without a limit', { retainedBytes: 1e12, limitBytes: undefined }, 'ok', []],
  ["WAL above the user's own threshold", { retainedWalWarning: 9 }, 'warning', ['the slot retains 10 bytes of WAL']],
  ['an event of 10 s', { waitingSeconds: 10 }, 'ok', []],
  ['an event older than 10 s', { waitingSeconds: 11 }, 'warning', ['the oldest event has been waiting for 11 s']],
  ['waiting events that cannot be read', { waitingUnknown: 'all slots are in use' }, 'warning', ['the waiting events could not be read: all slots are in use']],
  ['a dead letter', { deadLetters: 1 }, 'warning', ['1 dead letter']],
  ['dead letters', { deadLetters: 2 }, 'warning', ['2 dead letters']],
  ['dead letters that cannot be counted', { deadLetters: 'no right' }, 'warning', ['the dead letters could not be counted: no right']],
  ['an event that fails', { failing: { eventId: '0/1/0', attempt: 3 } }, 'warning', ["the handler of event 0/1/0 fails (attempt 3): see the worker's log"]],
  ['a worker that was silent for more than 40 s', { silentSeconds: 41 }, 'warning', [expect.stringContaining('the worker has sent nothing for 41 s')]],
  ['a worker whose last reply this role may not see', { silentSeconds: null }, 'ok', []],
  ['several reasons', { waitingSeconds: 61, activePid: null }, 'problem', ['no worker is connected', expect.anything()]],
  ['a missing slot, whatever else', { broken: 'gone', activePid: null }, 'problem', ['gone']],
] as const)('%s', (_, vitals, level, reasons) => {
  expect(judgeHealth({ ...well, ...vitals })).toEqual({ level, reasons });
}); // prettier-ignore
