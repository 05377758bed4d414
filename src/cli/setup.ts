import type { Client } from 'pg';
import { TypeCatalog } from '../postgres/types.ts';
import { oneLine, printable } from '../printable.ts';
import { type Server, serverIssues } from '../postgres/server.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { throwIssues, WatchError } from '../errors.ts';
import { prepare } from '../setup/prepare.ts';
import { createdComment } from '../setup/marker.ts';
import { noMemory } from '../setup/memory.ts';
import {
  alterPublication, commentOnPublication, type Publication, type PublicationNeeds,
} from '../setup/publication.ts'; // prettier-ignore
import { completePublication, createPublication, isRefused, script } from '../setup/publication-sql.ts';
import { creationTimeout, slotCreation, slotIssues } from '../setup/slot.ts';
import type { Table } from '../postgres/tables.ts';
import {
  changeFlags, type Command, configurationFlags, exit, help, parse, UsageError, watcherFlags,
} from './arguments.ts'; // prettier-ignore
import { confirmed } from './ask.ts';
import { type Configuration, loadConfiguration, requireSlot } from './config.ts';
import { onSignal } from './interruption.ts';
import { learnHandlers } from './learn-handlers.ts';
import { noteMarker } from './marker-sql.ts';
import { mark, note, print } from './output.ts';
import { missingTables } from './own-table-checks.ts';
import { identityChanges, type IdentityChange } from './replica-identity.ts';
import { withSession } from './session.ts';
import { lockTimeout, sqlScript, sqlSteps, type Step } from './sql-script.ts';
import { type Survey, survey } from './survey.ts';
import { readFormer, undo } from './undo.ts';

export const setup: Command = {
  summary: 'creates the publication and the slot and sets replica identities; shows the SQL first',
  help: `Usage: walwatch setup [watcher …] [options]

Creates everything that the watchers need, so that a worker with manage: 'verify' can start. It also sets replica
identities, which a worker never does, and creates the tables that the handlers need if the configuration file exports
subscribe. It shows the SQL with the purpose of each statement and asks before it runs it. It only adds what is missing,
so you can run it again.

${help.watchers}

${help.configuration}

Options:
      --role ROLE        the worker's role, which is granted rights on these tables; default: the connection's role
${help.change}

${help.exit}

Examples:
  walwatch setup
  walwatch setup users:inserted users:updated --slot accounts_worker
  walwatch setup --print | psql -v ON_ERROR_STOP=1 -d accounts
  walwatch setup --role accounts         as the owner of the database, for a worker with another role
  walwatch setup --yes                   in a deploy script`,

  async run(args) {
    const { values, positionals } = parse(args, {
      ...configurationFlags, ...watcherFlags, ...changeFlags, role: { type: 'string' },
    }); // prettier-ignore
    const configuration = await loadConfiguration(values, positionals);
    requireSlot(configuration);
    if (configuration.watchers.length === 0) {
      throw new UsageError('setup needs watchers', 'Add some, such as users:updated, or use a configuration file.');
    }
    return withSession(configuration, async (client) => {
      const plan = await makePlan(client, configuration, values.print === true, values.role);
      const { name } = configuration.resolved.slot;
      if (plan.statements.length === 0) {
        await print(values.print ? '-- Nothing to do.' : `${mark('ok')} '${name}' is already set up.`);
        return exit.ok;
      }
      if (values.print && plan.statements.some(({ sql }) => printable(sql) !== sql)) throw unprintable();
      await print(values.print ? sqlScript(plan.statements) : sqlSteps(plan.statements));
      if (values.print) return exit.ok;
      if (!(await confirmed('Run this?', values))) return exit.problem;
      const start = await carryOut(client, configuration, plan);
      await print(`${mark('ok')} '${name}' is set up: the slot starts at ${start}.`);
      note('The server now keeps WAL for the slot. Start its worker soon.');
      return exit.ok;
    });
  },
};

interface Plan {
  readonly identities: readonly IdentityChange[];
  readonly server: Server;
  readonly needs: PublicationNeeds;
  /** Whether the publication already exists. */
  readonly published: boolean;
  /** Statements that create the handlers' tables and grant the worker's role its rights on them. */
  readonly tables: readonly string[];
  /** All statements, in order. */
  readonly statements: readonly Step[];
}

/** `workersRole`: the role of --role. @throws the error that would stop a worker */
async function makePlan(
  client: Client,
  configuration: Configuration,
  forAnother: boolean,
  workersRole: string | undefined,
): Promise<Plan> {
  const { resolved, watchers } = configuration;
  const now = await survey(client, configuration, 'create');
  const server = forAnother ? { ...now.server, mayReplicate: true } : now.server;
  if (server.inRecovery) {
    throw new WatchError('UNSUPPORTED', 'the server is a standby, which is read-only', {
      solution: 'Connect to the primary.',
    });
  }
  const { changes, unsolved } = identityChanges(watchers, now.tables, server, filteredColumns(now));
  // Column lists and row filters depend on the identity.
  const altered = changes.map((change) => change.altered);
  const found = changes.length === 0 ? now : await survey(client, configuration, 'create', altered);
  const wrongSlot = found.slot ? slotIssues(resolved.slot, found.slot, server) : [];
  throwIssues([...serverIssues(server, resolved), ...found.misfits, ...unsolved, ...wrongSlot]);
  for (const { error } of found.losses) throw error;
  const { needs, publication } = found;
  if (workersRole !== undefined) await requireRole(client, workersRole);
  const role = workersRole ?? server.role;
  const tables = await missingTables(client, role, await learnHandlers(configuration));
  const forWhom = `with rights for the role ${oneLine(role)}${workersRole === undefined ? '. If the worker has another role, use --role' : ''}`;
  const statements = planStatements(found, configuration, changes, {
    why: `A table that the handlers need, ${forWhom}.`,
    tables,
  });
  return { identities: changes, server, needs, published: publication !== undefined, tables, statements };
}

async function requireRole(client: Client, role: string): Promise<void> {
  const { rowCount } = await client.query('select from pg_catalog.pg_roles where rolname = $1', [role]);
  if (rowCount === 0)
    throw new UsageError(`the role '${role}' does not exist`, 'Create it first, or pass another one to --role.');
}

/** By table, the row-filter columns that would make PostgreSQL refuse the application's updates and deletes. */
function filteredColumns({ needs, publication }: Survey): ReadonlyMap<number, readonly string[]> {
  const operations = new Set([...needs.operations, ...(publication?.operations ?? [])]);
  const refused = [...needs.pushedDown].filter(([, entry]) => isRefused(entry, operations));
  return new Map(refused.map(([oid, { outside }]) => [oid, outside]));
}

/** Identities come first: a published table without one refuses updates. The slot comes after the publication that it needs. */
function planStatements(
  { needs, publication, slot, marker }: Survey,
  { resolved }: Configuration,
  changes: readonly IdentityChange[],
  { why, tables }: { readonly why: string; readonly tables: readonly string[] },
): Step[] {
  const { name, failover } = resolved.slot;
  const published = publication ? completePublication(needs, publication) : [createPublication(needs)];
  const comment = publication ? publication.comment : createdComment;
  const steps: (Step | undefined)[] = [
    ...changes.map(({ statement, table, to }) => ({ why: whyIdentity(table, to), sql: statement })),
    ...tables.map((sql) => ({ why, sql })),
    published.length > 0
      ? { why: 'The publication lists the tables whose changes are sent.', sql: script(published) }
      : undefined,
    slot
      ? undefined
      : {
          why:
            "The slot stores the worker's position. From now on the server keeps WAL for it, so start the worker soon.\n" +
            'Creating it waits for all transactions that write.',
          sql: `${slotCreation(name, failover)};`,
          patience: creationTimeout,
        },
    marker
      ? undefined
      : {
          why: "The publication's comment stores where the slot was created, so that walwatch can detect a lost slot.",
          sql: noteMarker(needs.name, name, comment),
        },
  ];
  return steps.filter((step) => step !== undefined);
}

function whyIdentity({ schema, name }: Table, to: 'default' | 'full'): string {
  const what = to === 'full' ? 'all old values of updated and deleted rows' : 'the keys of updated and deleted rows';
  const cost = to === 'full' ? ', which makes the WAL of its updates larger' : '';
  return `A worker does not do this: the WAL must contain ${what} of ${oneLine(`${schema}.${name}`)}${cost}.`;
}

/** Names and texts can be printed with escapes, but an escape would change the expression of a row filter. */
function unprintable(): UsageError {
  return new UsageError(
    'a row filter contains control characters, which --print cannot print',
    'Run setup without --print.',
  );
}

function changePublication(needs: PublicationNeeds, publication: Publication | undefined): string[] {
  if (publication) return completePublication(needs, publication);
  return [createPublication(needs), commentOnPublication(needs.name, createdComment)];
}

/** Returns the position of the slot. On failure it undoes its changes, then throws. */
async function carryOut(client: Client, configuration: Configuration, plan: Plan): Promise<string> {
  const { resolved, watchers } = configuration;
  const { identities, needs, server, published } = plan;
  const former = await readFormer(client, identities);
  const changed = new Set<number>();
  using _ = cancelOnSignal(client, configuration);
  try {
    for (const { statement, table } of identities) {
      await client.query(`begin; set local lock_timeout = ${lockTimeout}; ${statement} commit`);
      changed.add(table.oid);
    }
    for (const statement of plan.tables) await client.query(`begin; ${statement} commit`);
    await alterPublication(client, needs.name, server, (current) => changePublication(needs, current));
    const options = { ...resolved, manage: 'create', slot: { ...resolved.slot, onLost: 'stop' } } as const;
    const prepared = await prepare(client, options, watchers, new TypeCatalog(undefined), noMemory, async () => []);
    return prepared.confirmedLsn!;
  } catch (error) {
    await client.query('rollback').catch(() => {}); // after a failed identity change; fails without a connection
    const names = { slot: resolved.slot.name, publication: needs.name, existed: published };
    const left = await undo(
      client,
      server,
      names,
      former.filter(({ root }) => changed.has(root)),
    );
    if (left.length > 0)
      note(`walwatch: setup failed but its replica identities remain. To restore them, run: ${left.join(' ')}`);
    if ((error as { code?: unknown }).code !== sqlState.insufficientPrivilege) throw error;
    throw new WatchError('PERMISSION', (error as Error).message, {
      solution: 'As the owner of the tables, run the output of `walwatch setup --print`.',
      cause: error,
    });
  }
}

/** The first Ctrl-C cancels the running statement, so that setup undoes its changes. A second one ends the process at once. */
function cancelOnSignal(client: Client, configuration: Configuration): Disposable {
  const { processID } = client as unknown as { processID: number };
  return onSignal(() => {
    note('walwatch: cancelled; undoing all changes');
    const asked = withSession(configuration, (other) =>
      other.query('select pg_catalog.pg_cancel_backend($1)', [processID]),
    );
    asked.catch(() => {}); // the statement then ends by its timeout
  });
}
