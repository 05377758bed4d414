import { Budget } from '../../src/changes/budget.ts';
import type { CapturedChange } from '../../src/changes/change.ts';
import { Ledger } from '../../src/changes/ledger.ts';
import type { Snapshot } from '../../src/stream/visibility.ts';
import { VisibilityGate } from '../../src/stream/gate.ts';
import { changeOf } from './sample-changes.ts';
import { planFor, usersTable } from './sample-tables.ts';
import { type Deferred, deferred } from './until.ts';

const plan = planFor(usersTable(), ['users', 'inserted']);

interface Options {
  readonly highWaterMark?: number;
  /** Changes that have passed. */
  readonly pass?: (change: CapturedChange, ledger: Ledger) => void;
}

/** A gate that asks a server which answers when the test lets it. */
export function gated({ highWaterMark = Infinity, pass = () => {} }: Options = {}) {
  const ledger = new Ledger(new Budget(highWaterMark, () => {}, () => {}), () => {}); // prettier-ignore
  const passed: number[] = [];
  const gate = new VisibilityGate<CapturedChange>(ledger, (change) => {
    passed.push(change.transaction.xid);
    pass(change, ledger);
  });
  const questions: Deferred<Snapshot>[] = [];
  const failures: unknown[] = [];
  const connect = () =>
    gate.connect(
      () => {
        questions.push(deferred());
        return questions.at(-1)!.promise;
      },
      (error) => failures.push(error),
    );
  /** Answers one question. All transactions below `xmax` are visible, except those in progress. */
  const answerTo = ({ resolve, promise }: Deferred<Snapshot>, xmax: number, ...inProgress: number[]) => {
    resolve({ xmin: Math.min(xmax, ...inProgress), xmax, inProgress: new Set(inProgress) });
    return promise.then(() => {}); // later than the gate, which has waited longer
  };
  /** Answers the last one. */
  const answer = (xmax: number, ...inProgress: number[]) => answerTo(questions.at(-1)!, xmax, ...inProgress);
  const begin = (xid: number) => ledger.begin({ finalLsn: BigInt(xid), xid, committedAt: 0 });
  const push = (transaction: ReturnType<typeof begin>) => gate.push(changeOf(plan, 'inserted', {}, { transaction }));
  /** A whole transaction of one change. */
  const send = (xid: number) => {
    const transaction = begin(xid);
    push(transaction);
    ledger.commit(transaction, BigInt(xid) + 1n);
  };
  return { gate, ledger, passed, failures, questions, connect, answerTo, answer, begin, push, send };
}
