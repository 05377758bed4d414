import pg from 'pg';
import { groupAlike, othersText } from '../alike.ts';
import type { Client } from 'pg';
import { oneLine } from '../printable.ts';
import { readStandbySlots } from '../postgres/standby-slots.ts';
import { sessionConfig } from '../postgres/session.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import { thrownText, type WatchError } from '../errors.ts';
import { type Command, configurationFlags, exit, help, parse, watcherFlags } from './arguments.ts';
import type { Check } from './checks.ts';
import { type Configuration, loadConfiguration } from './config.ts';
import { decodingChecks } from './decoding-checks.ts';
import { existingChecks } from './existing-checks.ts';
import { readFacts } from './facts.ts';
import { learnHandlers, type Uses } from './learn-handlers.ts';
import { limitChecks } from './limit-checks.ts';
import { messageChecks } from './message-check.ts';
import { indented, mark, paint, print, printJson, withoutSecrets } from './output.ts';
import { ownTableChecks } from './own-table-checks.ts';
import { pasteable } from './pasteable.ts';
import { serverChecks, transactionCheck } from './server-checks.ts';
import { describeConnection, failure, sessionName, withSession } from './session.ts';
import { otherSlotsCheck, slotChecks } from './slot-checks.ts';
import { readSlotStates } from './slot-state.ts';
import { rehearse, startChecks } from './start-checks.ts';
import { survey } from './survey.ts';
import { publicationChecks, watcherChecks } from './watcher-checks.ts';

export const doctor: Command = {
  summary: 'checks server, role, tables, publication and slot, and shows how to fix problems',
  help: `Usage: walwatch doctor [watcher …] [options]

Checks everything that a worker needs and changes nothing. Each line is a requirement: ✓ ok, ! warning, ✗ problem; with
the current state, why it matters, and the SQL or setting that fixes it.
Equal results of more than five watchers are printed once; --json has one check for each.
Without a slot and watchers it checks only the server.

${help.watchers}

${help.configuration}

Options:
      --json             { ok, checks: [{ name, table, level, found, why, fix }] }

${help.exit} Warnings (!) do not count as problems.

Examples:
  walwatch doctor
  walwatch doctor users:updated --slot accounts_worker
  walwatch doctor --json | jq '.checks[] | select(.level == "problem")'`,

  async run(args) {
    const { values, positionals } = parse(args, { ...configurationFlags, ...watcherFlags, json: { type: 'boolean' } });
    const configuration = await loadConfiguration(values, positionals);
    const checks = (await examine(configuration)).map(shown);
    const ok = checks.every(({ level }) => level !== 'problem');
    if (values.json) await printJson({ ok, checks });
    else await print(report(checks));
    return ok ? exit.ok : exit.problem;
  },
};

async function examine(configuration: Configuration): Promise<Check[]> {
  const name = 'connection';
  const why = 'all other checks need it';
  const to = describeConnection(configuration);
  try {
    return await withSession(configuration, async (client) => [
      { name, level: 'ok', found: to, why },
      ...(await examineServer(client, configuration)),
    ]);
  } catch (error) {
    const { code, message, solution } = error as WatchError;
    if (code === undefined) throw error;
    // The connection works if the server is too old.
    if (code === 'UNSUPPORTED' && message.startsWith('the server is')) {
      return [
        {
          name: 'server version',
          level: 'problem',
          found: message,
          why: 'all other checks were skipped',
          fix: solution,
        },
      ];
    }
    const { connection } = configuration.options;
    const nowhere = connection === undefined && !process.env['DATABASE_URL'] && !process.env['PGHOST'];
    const hint = nowhere ? ' No server is configured: set DATABASE_URL, or PGHOST, PGUSER and PGDATABASE.' : '';
    const found = `${to}: ${message}`;
    return [{ name, level: 'problem', found, why, fix: `${solution ?? ''}${hint}`.trim() }];
  }
}

async function examineServer(client: Client, configuration: Configuration): Promise<Check[]> {
  const { resolved, watchers, hasSlot } = configuration;
  const found = await survey(client, configuration);
  const { server, slot } = found;
  const oids = found.tables.map(({ oid }) => oid);
  const facts = await readFacts(client, oids, resolved.publication.name);
  const states = await readSlotStates(client);
  const { name } = resolved.slot;
  const standbys = await readStandbySlots(client, name, server);
  const state = hasSlot ? states.find((one) => one.name === name) : undefined;
  const own = { exists: slot !== undefined || !hasSlot, active: slot?.activePid !== undefined };
  const uses = await learnHandlers(configuration);
  const start = hasSlot && watchers.length > 0 ? await rehearse(client, configuration) : undefined;
  const writes = sqlStateOf(start?.error) === sqlState.readOnlyTransaction;
  const checks = [
    ...serverChecks(server, facts, resolved, own),
    await replicationCheck(configuration),
    ...limitChecks(server, facts, resolved, { uses, active: own.active, writes }),
    ...(await messageChecks(client, server, configuration, uses)),
    ...handlerChecks(uses, configuration),
    ...(watchers.length > 0
      ? watcherChecks(found, configuration, facts.heirs)
      : [nothingNamed('watchers', 'tables and columns')]),
    ...(hasSlot && watchers.length > 0 ? publicationChecks(found, configuration) : []),
    ...(hasSlot ? slotChecks(found, configuration, states) : [nothingNamed('slot', 'slot and publication')]),
    ...(state ? decodingChecks(state, standbys) : []),
    ...(await ownTableChecks(client, server, resolved, uses)),
    ...(await existingChecks(client, found, uses, resolved.publication.name)),
  ];
  return [
    ...checks,
    ...(start ? startChecks(start, configuration, facts, checks) : []),
    transactionCheck(facts),
    otherSlotsCheck(states, hasSlot ? resolved.slot.name : ''),
  ];
}

function handlerChecks({ error }: Uses, { file }: Configuration): Check[] {
  if (error === undefined) return [];
  const { solution } = error as { solution?: unknown };
  return [{
    name: 'subscribe', level: 'problem', found: `subscribe() of ${file} throws: ${(error as Error).message ?? thrownText(error)}`,
    why: 'the worker registers its handlers with it', fix: typeof solution === 'string' ? solution : 'Call it in the worker and look at the stack of the error.',
  }]; // prettier-ignore
}

function nothingNamed(name: string, what: string): Check {
  return {
    name, level: 'warning', found: 'none configured', why: `${what} were not checked`,
    fix: 'Write a walwatch.config.mjs, or run walwatch doctor users:updated --slot accounts_worker',
  }; // prettier-ignore
}

/** Opens a replication connection: only that shows whether rights and pg_hba.conf allow it. */
async function replicationCheck({ resolved }: Configuration): Promise<Check> {
  const { connection, connectTimeout } = resolved;
  const facts = {
    name: 'replication connection',
    why: 'changes arrive over one; pg_hba.conf and poolers may refuse it',
  };
  const config = { ...sessionConfig(connection, { name: sessionName, connectTimeout }), replication: 'database' };
  const client = new pg.Client(config);
  client.on('error', () => {}); // connect() or query() rejects
  try {
    await client.connect();
    await client.query('IDENTIFY_SYSTEM');
    return { ...facts, level: 'ok', found: 'the server accepts it' };
  } catch (error) {
    const { message, solution } = failure(error, resolved);
    return { ...facts, level: 'problem', found: message, fix: solution };
  } finally {
    await client.end().catch(() => {}); // the connection may have failed
  }
}

/** Settings and messages of the server may contain anything, secrets and control characters too. */
function shown({ name, found, fix, ...check }: Check): Check {
  return { ...check, name: oneLine(name), found: withoutSecrets(found), fix: fix && withoutSecrets(pasteable(fix)) };
}

function report(checks: readonly Check[]): string {
  const kinds = groupAlike(checks, ({ name, table, level, found, why }) => ({
    text: `${level}\n${found}\n${why}`,
    names: [name, table],
  }));
  const lines = kinds.flatMap(({ first: { name, level, found, why, fix }, others }) => {
    const rest = others.length === 0 ? [] : [`    ${othersText(others.map((other) => other.name))}`];
    return [
      `${mark(level)} ${paint('bold', name)}: ${indented(found, '    ')}${level === 'ok' ? paint('dim', ` – ${why}`) : ''}`,
      ...(level === 'ok' ? [] : [`    why: ${why}`]),
      ...(level !== 'ok' && fix ? [`    fix: ${paint('cyan', indented(fix, '         '))}`] : []),
      ...rest.map((line) => (level === 'ok' ? line : `${line} (--json has the fix for each)`)),
    ];
  });
  const count = (level: Check['level']) => checks.filter((one) => one.level === level).length;
  const [problems, warnings] = [count('problem'), count('warning')];
  const plural = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`;
  const sum =
    problems > 0
      ? `${mark('problem')} ${plural(problems, 'problem')}, ${plural(warnings, 'warning')}`
      : `${mark('ok')} no problems, ${plural(warnings, 'warning')}`;
  return [...lines, '', sum].join('\n');
}
