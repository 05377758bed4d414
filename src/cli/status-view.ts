import { oneLine } from '../printable.ts';
import { formatBytes, formatSeconds, indented, mark, paint } from './output.ts';
import { mostEvents, type Status } from './status-facts.ts';

/** The status for people. */
export function render(facts: Status): string {
  const { slot, level, reasons, waiting } = facts;
  const row = (name: string, text: string) => `  ${paint('dim', name.padEnd(14))}${indented(text)}`;
  const rows = [
    `${mark(level)} ${paint('bold', slot)}: ${reasons.length === 0 ? well(facts) : indented(reasons.join('; '))}`,
  ];
  if (facts.currentLsn === null) return rows.join('\n');
  rows.push(
    row('worker', worker(facts)),
    row('position', `${facts.confirmedLsn ?? 'none'} of ${facts.currentLsn}`),
    row('lag', `${facts.lagBytes === null ? 'unknown' : formatBytes(facts.lagBytes)}, ${lagSeconds(facts)}`),
    row('retained WAL', retained(facts)),
  );
  if (facts.spilledTransactions > 0) rows.push(row('spilled', spilled(facts)));
  if (waiting?.unknown === undefined) {
    const { events = [], more = false } = waiting ?? {};
    const list = events
      .map(({ what, committedAt }) => `${oneLine(what)}${committedAt ? ` (${time(committedAt)})` : ''}`)
      .join(', ');
    rows.push(row('waiting', list === '' ? 'nothing' : `${list}${more || events.length === mostEvents ? ' …' : ''}`));
  } else rows.push(row('waiting', `unknown: ${waiting.unknown}`));
  rows.push(...deadLetters(facts).map((text) => row('dead letters', text)));
  if (facts.lastEvents) {
    const none = facts.lastEventsProblem ?? 'none since this command started';
    const list = facts.lastEvents.map(
      ({ at, watcher, eventId }) => `${time(at)} ${oneLine(watcher)} ${paint('dim', eventId)}`,
    );
    rows.push(row('last events', list[0] ?? none), ...list.slice(1).map((line) => row('', line)));
  }
  return rows.join('\n');
}

/** The text without problems. A waiting event may still be one that fails: only its worker knows that. */
function well({ waiting, lagSeconds: seconds }: Status): string {
  if (waiting === null || waiting.events.length === 0) return 'healthy';
  return seconds === null ? 'events are waiting' : `events are waiting, the oldest for ${formatSeconds(seconds)}`;
}

function deadLetters({ deadLetters: { of, unknown } }: Status): string[] {
  if (unknown !== undefined) return [`unknown: ${unknown}`];
  if (of.length === 0) return [];
  const newest = new Date(Math.max(...of.map((one) => one.newest.getTime())));
  const counts = of.map(({ subscription, count }) => `${count} of ${oneLine(subscription)}`).join(', ');
  return [`${counts}, the newest at ${time(newest)}. See: walwatch dead-letters list`];
}

function worker({ activePid, application, address, lastReply, inactiveSince }: Status): string {
  if (activePid === null) return inactiveSince ? `none since ${inactiveSince.toISOString()}` : 'none';
  const from = address === null ? '' : ` from ${address}`;
  return `process ${activePid}, ${application === null ? 'hidden from this role' : oneLine(application)}${from}${lastReply ? `, last reply at ${time(lastReply)}` : ''}`;
}

function lagSeconds({ lagSeconds: seconds }: Status): string {
  if (seconds === null) return 'seconds unknown';
  return seconds === 0 ? '0 s (no event is waiting)' : formatSeconds(seconds);
}

function spilled({ spilledTransactions, spilledBytes }: Pick<Status, 'spilledTransactions' | 'spilledBytes'>): string {
  return `${formatBytes(spilledBytes)} of ${spilledTransactions} ${spilledTransactions === 1 ? 'transaction' : 'transactions'}: larger than logical_decoding_work_mem, written to disk while decoding`;
}

function retained({ retainedBytes, limitBytes, safeBytes }: Status): string {
  if (retainedBytes === null) return 'none';
  if (limitBytes === null) return `${formatBytes(retainedBytes)}, no limit (max_slot_wal_keep_size)`;
  const left = safeBytes === null ? '' : `, lost after ${formatBytes(Math.max(0, safeBytes))} more`;
  return `${formatBytes(retainedBytes)} of ${formatBytes(limitBytes)} (${Math.round((retainedBytes / limitBytes) * 100)} %)${left}`;
}

function time(date: Date): string {
  return date.toTimeString().slice(0, 8);
}
