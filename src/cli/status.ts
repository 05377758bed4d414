import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { oneLine } from '../printable.ts';
import { readServer } from '../postgres/server.ts';
import { readStandbySlots, standbysBehind } from '../postgres/standby-slots.ts';
import { readPublication } from '../setup/publication.ts';
import { invalidation, readSlot } from '../setup/slot.ts';
import {
  type Command, configurationFlags, exit, type ExitCode, help, noArguments, parse, positiveNumber,
} from './arguments.ts'; // prettier-ignore
import { type Configuration, loadConfiguration, requireSlot } from './config.ts';
import { judgeHealth } from './health.ts';
import { interruption } from './interruption.ts';
import { type LiveEvent, LiveEvents } from './live-events.ts';
import {
  clearScreen, formatBytes, formatSeconds, indented, isTerminal, type Level, mark, paint, print, toJson,
} from './output.ts'; // prettier-ignore
import { withSession } from './session.ts';
import { readSlotStates, type SlotState } from './slot-state.ts';
import { readWaiting, type Waiting } from './waiting.ts';

export const status: Command = {
  summary: 'tells how far the worker has come, and whether all is well',
  help: `Usage: walwatch status [options]

Tells of the slot: who reads it, how far that is behind in bytes of WAL and in seconds, how much WAL the server keeps
for it and how near that is to the limit, and which changes wait. The seconds are the age of the oldest change that was
committed and is not acknowledged. Changes nothing, and needs no running worker.

${help.configuration}

Options:
      --watch            refreshes until Ctrl-C, and shows the last events as they happen (over a temporary slot;
                         they need a configuration file with watchers)
      --interval SECONDS between refreshes; default 2
      --json             an object; with --watch one on each line

${help.exit}
No connected worker, and a slot that is missing or lost, are problems; warnings (!) are none. --watch ends with 0.

Examples:
  walwatch status
  walwatch status --watch
  walwatch status --slot accounts_worker --json | jq .lagBytes`,

  async run(args) {
    const { values, positionals } = parse(args, {
      ...configurationFlags, watch: { type: 'boolean' }, interval: { type: 'string' }, json: { type: 'boolean' },
    }); // prettier-ignore
    noArguments(positionals);
    const seconds = positiveNumber('interval', values.interval, 2);
    const configuration = await loadConfiguration(values);
    requireSlot(configuration);
    const json = values.json === true;
    if (values.watch) return refresh(configuration, seconds * 1000, json);
    const facts = await withSession(configuration, (client) => readStatus(client, configuration));
    await print(json ? toJson(facts, 2) : render(facts));
    return facts.level === 'problem' ? exit.problem : exit.ok;
  },
};

interface Status {
  readonly slot: string;
  readonly publication: string;
  readonly level: Level;
  readonly reasons: readonly string[];
  readonly activePid: number | null;
  readonly application: string | null;
  readonly address: string | null;
  readonly lastReply: Date | null;
  readonly confirmedLsn: string | null;
  readonly currentLsn: string | null;
  readonly lagBytes: number | null;
  /** Null: not known. */
  readonly lagSeconds: number | null;
  readonly retainedBytes: number | null;
  readonly limitBytes: number | null;
  readonly safeBytes: number | null;
  readonly walStatus: string | null;
  /** Null while a worker reads it, and before PostgreSQL 17. */
  readonly inactiveSince: Date | null;
  readonly idleTimeoutSeconds: number | null;
  readonly spilledTransactions: number;
  readonly spilledBytes: number;
  readonly waiting: Waiting | null;
  readonly lastEvents?: readonly LiveEvent[];
  readonly lastEventsProblem?: string;
}

async function readStatus(client: Client, { resolved }: Configuration): Promise<Status> {
  const { name } = resolved.slot;
  const publication = resolved.publication.name;
  const server = await readServer(client);
  const slot = await readSlot(client, name, server);
  const state = (await readSlotStates(client)).find((one) => one.name === name);
  const published = await readPublication(client, publication, server);
  const reason = slot && invalidation(slot);
  const foreign = slot && (slot.plugin !== 'pgoutput' || slot.database !== server.database);
  const broken = !slot
    ? `there is no slot '${name}': walwatch setup makes it`
    : reason !== undefined
      ? `the slot is lost: ${reason}`
      : foreign
        ? `the slot is not one of walwatch in the database '${server.database}'`
        : published
          ? undefined
          : `the publication '${publication}' is missing`;
  const waiting = broken === undefined ? await readWaiting(client, name, publication) : null;
  const standbys = await readStandbySlots(client, name, server);
  const health = judgeHealth({
    broken,
    activePid: state?.activePid ?? null,
    silentSeconds: state?.silentSeconds ?? null,
    walStatus: state?.walStatus ?? null,
    retainedBytes: state?.retainedBytes ?? 0,
    limitBytes: server.maxSlotWalKeepSize,
    retainedWalWarning: resolved.retainedWalWarning,
    waitingSeconds: waiting?.seconds ?? 0,
    idleTimeoutSeconds: state?.idleTimeoutSeconds ?? null,
    standbysBehind: standbysBehind(name, standbys).map(({ message }) => message),
  });
  return {
    slot: name,
    publication,
    ...health,
    ...position(state),
    lagSeconds: waiting === null || waiting.unknown !== undefined ? null : waiting.seconds,
    limitBytes: server.maxSlotWalKeepSize ?? null,
    waiting: waiting && { ...waiting, events: waiting.events.slice(0, shown) },
  };
}

/** Events of either kind that are listed. */
const shown = 5;

function position(state: SlotState | undefined) {
  return {
    activePid: state?.activePid ?? null,
    application: state?.application ?? null,
    address: state?.address ?? null,
    lastReply: state?.lastReply ?? null,
    confirmedLsn: state?.confirmedLsn ?? null,
    currentLsn: state?.currentLsn ?? null,
    lagBytes: state?.lagBytes ?? null,
    retainedBytes: state?.retainedBytes ?? null,
    safeBytes: state?.safeBytes ?? null,
    walStatus: state?.walStatus ?? null,
    inactiveSince: state?.inactiveSince ?? null,
    idleTimeoutSeconds: state?.idleTimeoutSeconds ?? null,
    spilledTransactions: state?.spilledTransactions ?? 0,
    spilledBytes: state?.spilledBytes ?? 0,
  };
}

async function refresh(configuration: Configuration, interval: number, json: boolean): Promise<ExitCode> {
  using end = interruption();
  const { signal } = end;
  await using live = configuration.watchers.length > 0 ? new LiveEvents(configuration, shown) : undefined;
  await withSession(configuration, async (client) => {
    while (!signal.aborted) {
      const facts: Status = {
        ...(await readStatus(client, configuration)),
        ...(live && {
          lastEvents: [...live.last],
          ...(live.problem !== undefined && { lastEventsProblem: live.problem }),
        }),
      };
      const screen = isTerminal() ? clearScreen : '';
      await print(json ? toJson(facts) : `${screen}${render(facts)}\n`);
      await delay(interval, undefined, { signal }).catch(() => {}); // the end
    }
  });
  return exit.ok;
}

function render(facts: Status): string {
  const { slot, level, reasons, waiting } = facts;
  const row = (name: string, text: string) => `  ${paint('dim', name.padEnd(14))}${indented(text)}`;
  const rows = [
    `${mark(level)} ${paint('bold', slot)}: ${level === 'ok' ? 'all is well' : indented(reasons.join('; '))}`,
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
    const list = events.map(({ what, committedAt }) => `${oneLine(what)} (${time(committedAt)})`).join(', ');
    rows.push(row('waiting', list === '' ? 'nothing' : `${list}${more || events.length === shown ? ' …' : ''}`));
  } else rows.push(row('waiting', `unknown: ${waiting.unknown}`));
  if (facts.lastEvents) {
    const none = facts.lastEventsProblem ?? 'none since this began';
    const list = facts.lastEvents.map(
      ({ at, watcher, eventId }) => `${time(at)} ${oneLine(watcher)} ${paint('dim', eventId)}`,
    );
    rows.push(row('last events', list[0] ?? none), ...list.slice(1).map((line) => row('', line)));
  }
  return rows.join('\n');
}

function worker({ activePid, application, address, lastReply, inactiveSince }: Status): string {
  if (activePid === null) return inactiveSince ? `none since ${inactiveSince.toISOString()}` : 'none';
  const from = address === null ? '' : ` from ${address}`;
  return `process ${activePid}, ${application === null ? 'hidden from this role' : oneLine(application)}${from}${lastReply ? `, heard of at ${time(lastReply)}` : ''}`;
}

function lagSeconds({ lagSeconds: seconds }: Status): string {
  if (seconds === null) return 'seconds unknown';
  return seconds === 0 ? '0 s (nothing waits)' : formatSeconds(seconds);
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
