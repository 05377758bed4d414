import { Budget } from '../../src/changes/budget.ts';
import { CapturedChange } from '../../src/changes/change.ts';
import type { CapturedMessage } from '../../src/changes/message.ts';
import type { CapturedItem } from '../../src/changes/stage.ts';
import { Ledger } from '../../src/changes/ledger.ts';
import { Intake } from '../../src/stream/intake.ts';
import { Receiver, type ReceiverHost } from '../../src/stream/receiver.ts';
import * as encode from './pgoutput-messages.ts';
import { planFor, usersTable } from './sample-tables.ts';

export const plan = planFor(usersTable(), ['users', 'inserted']);
export const described = encode.relation(plan.relation);
export const row = (id: string): Buffer => encode.insert(plan.relation.oid, [id, 'a@b', null, null]);
export const begin = (lsn: bigint): Buffer => encode.begin(lsn, Date.UTC(2024, 0, 1), 7);
export const commit = (lsn: bigint): Buffer => encode.commit(lsn, lsn + 8n);

/** A receiver over a real intake and ledger. `told`: the calls of its host, in order; `emitted`: the changes for the gate. */
export function receiving(more: Partial<ReceiverHost> = {}) {
  const told: string[] = [];
  const emitted: CapturedItem[] = [];
  const budget = new Budget(Infinity, () => {}, () => {}); // prettier-ignore
  const ledger = new Ledger(budget, () => told.push(`confirmed ${ledger.confirmed}`));
  const intake = new Intake(ledger, {
    emit: (captured) => {
      emitted.push(captured);
      const what = captured instanceof CapturedChange ? captured.row[0] : (captured as CapturedMessage).event.prefix;
      told.push(`${captured.eventId}=${what}`);
    },
    wantsCommits: false,
    wantsMessages: (prefix) => prefix !== 'unwanted',
    refusedAnnotation: () => {},
  });
  const failures: unknown[] = [];
  const receiver = new Receiver(intake, {
    plan: () => plan,
    type: () => {},
    message: () => {},
    described: () => undefined,
    reached: (lsn) => told.push(`reached ${lsn}`),
    keepalive: (walEnd, replyRequested) => told.push(`keepalive ${walEnd}${replyRequested ? ' ?' : ''}`),
    wait: (waiting) => told.push(waiting ? 'wait' : 'go on'),
    failed: (error) => failures.push(error),
    ...more,
  });
  return { receiver, told, failures, ledger, intake, emitted };
}
