import type { Client } from 'pg';
import { quoteIdentifier, readServer, type Server } from '../postgres/server.ts';
import { throwIssues, WatchError } from '../errors.ts';
import { isMadeByWalwatch, type Marker, parseComment, withoutMarker } from '../setup/marker.ts';
import { commentOnPublication, type Publication, readPublication } from '../setup/publication.ts';
import { readSlot, slotIssues } from '../setup/slot.ts';
import {
  changeFlags,
  type Command,
  configurationFlags,
  exit,
  help,
  noArguments,
  parse,
  UsageError,
} from './arguments.ts';
import { confirmed } from './ask.ts';
import { type Configuration, loadConfiguration, requireSlot } from './config.ts';
import { mark, print } from './output.ts';
import { withSession } from './session.ts';
import { sqlScript } from './sql-script.ts';

export const teardown: Command = {
  summary: 'drops slot and publication',
  help: `Usage: walwatch teardown [options]

Once the worker has stopped: drops the slot, and the publication if walwatch made it and no other slot uses it. Changes
that the worker has not handled are lost. Shows the SQL and asks. A slot that carries no marker of walwatch (in the comment
of the publication) may be another program's: without a terminal to ask on it is refused, also with --yes. Replica identities (ALTER TABLE … REPLICA IDENTITY DEFAULT), dead letters and
positions (the schema walwatch) stay. Can be run again.

${help.configuration}

Options:
${help.change}
      --force            also drops a slot that carries no marker of walwatch

${help.exit}

Examples:
  walwatch teardown
  walwatch teardown --slot accounts_worker --print | psql -v ON_ERROR_STOP=1 -d accounts
  walwatch teardown --yes && walwatch setup --yes     a slot that is lost is made anew`,

  async run(args) {
    const force = { type: 'boolean' } as const;
    const { values, positionals } = parse(args, { ...configurationFlags, ...changeFlags, force });
    noArguments(positionals);
    const configuration = await loadConfiguration(values);
    requireSlot(configuration);
    return withSession(configuration, async (client) => {
      const plan = await planTeardown(client, configuration, values.print === true);
      const { name } = configuration.resolved.slot;
      if (plan.statements.length === 0) {
        await print(values.print ? '-- Nothing to do.' : `${mark('ok')} nothing is left of '${name}'.`);
        return exit.ok;
      }
      const asks = !values.print && !values.yes && process.stdin.isTTY === true;
      if (plan.doubt !== undefined && !values.force && !asks) throw notOurs(plan.doubt);
      await print(values.print ? sqlScript(plan.statements.map((sql) => ({ sql }))) : plan.statements.join('\n'));
      if (values.print) return exit.ok;
      const doubt = plan.doubt === undefined ? '' : `${capitalized(plan.doubt)}. `;
      if (!(await confirmed(`${doubt}Run this? What the worker has not handled yet is lost.`, values)))
        return exit.problem;
      const now = await planTeardown(client, configuration, false);
      if (now.statements.join() !== plan.statements.join() || now.doubt !== plan.doubt) throw changedMeanwhile();
      for (const statement of plan.statements) await client.query(statement);
      if ((await planTeardown(client, configuration, false)).statements.length > 0) throw changedMeanwhile();
      await print(`${mark('ok')} '${name}' is gone.`);
      return exit.ok;
    });
  },
};

interface TeardownPlan {
  readonly statements: readonly string[];
  /** Why what would be dropped may belong to another program. */
  readonly doubt: string | undefined;
}

async function planTeardown(client: Client, { resolved }: Configuration, forLater: boolean): Promise<TeardownPlan> {
  const { name } = resolved.slot;
  const server = await readServer(client);
  const slot = await readSlot(client, name, server);
  if (slot) throwIssues(slotIssues({ name, failover: false }, { ...slot, twoPhase: false }, server));
  if (slot?.activePid !== undefined && !forLater) {
    throw new WatchError('SLOT_ACTIVE', `a worker has the slot '${name}' (process ${slot.activePid})`, {
      solution: `Stop it first. If it is not to be found: SELECT pg_catalog.pg_terminate_backend(${slot.activePid});`,
    });
  }
  const publication = await readPublication(client, resolved.publication.name, server);
  const drops = slot ? [`SELECT pg_catalog.pg_drop_replication_slot('${name}');`] : [];
  const parsed = parseComment(publication?.comment ?? null);
  const marker = parsed.markers.find((one) => one.slot === name);
  const trusted = publication !== undefined && (await isOwnerTrusted(client, publication.oid));
  const doubt = slot && doubtOf(marker, { name, trusted, publication, server });
  if (!publication) return { statements: drops, doubt };
  const own = trusted && isMadeByWalwatch(parsed, { publication: resolved.publication.name, slot: name });
  if (!own || parsed.markers.some((one) => one.slot !== name)) {
    // Others go on with it.
    const comment = withoutMarker(publication.comment, name);
    if (comment === (publication.comment ?? '')) return { statements: drops, doubt };
    const why = own ? 'another slot uses it' : 'walwatch did not make it';
    const stays = `-- The publication stays, because ${why}.`;
    return { statements: [...drops, `${stays}\n${commentOnPublication(resolved.publication.name, comment)};`], doubt };
  }
  const drop = `DROP PUBLICATION ${quoteIdentifier(resolved.publication.name)};`;
  // One transaction: while a worker still has the slot, dropping it fails, and then the publication must stay.
  return { statements: ['BEGIN;', ...drops, drop, 'COMMIT;'], doubt };
}

/** A comment is only what the owner of the publication says: it must agree with what is there. */
function doubtOf(
  marker: Marker | undefined,
  found: { name: string; trusted: boolean; publication: Publication | undefined; server: Server },
): string | undefined {
  const { name, trusted, publication, server } = found;
  if (!marker) return `the slot '${name}' carries no marker of walwatch, and may be another program's`;
  if (!trusted) {
    return `only the comment of a publication of another role says that the slot '${name}' is walwatch's`;
  }
  const here =
    marker.systemIdentifier === server.systemIdentifier &&
    marker.databaseOid === server.databaseOid &&
    marker.publicationOid === publication?.oid;
  return here ? undefined : `the marker of the slot '${name}' was written for another server, database or publication`;
}

/**
 * Whether the owner of the publication is one whose word counts: our role, or one that could drop slots without us, or the
 * owner of the database.
 */
async function isOwnerTrusted(client: Client, oid: number): Promise<boolean> {
  const { rows } = await client.query<{ trusted: boolean }>(
    `select r.rolsuper or r.rolreplication or r.rolname = current_user
            or r.oid = (select datdba from pg_catalog.pg_database where datname = pg_catalog.current_database())
            or exists (select from pg_catalog.pg_roles m where m.rolname in ('rds_replication', 'rds_superuser')
                       and pg_catalog.pg_has_role(r.oid, m.oid, 'member'))
            or pg_catalog.pg_has_role(r.oid, 'member')
               and not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) as trusted
     from pg_catalog.pg_publication p join pg_catalog.pg_roles r on r.oid = p.pubowner where p.oid = $1`,
    [oid],
  );
  return rows[0]?.trusted === true;
}

function notOurs(doubt: string): UsageError {
  return new UsageError(
    `${doubt}, so nothing was changed`,
    'Look at it: SELECT * FROM pg_catalog.pg_replication_slots; If nobody else needs it: --force. On a terminal, and without --yes, it is asked.',
  );
}

function changedMeanwhile(): WatchError {
  return new WatchError(
    'SERVER_BUSY',
    'the slot or the publication is not what was shown: somebody changed it meanwhile',
    {
      solution: 'Run it again.',
    },
  );
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
