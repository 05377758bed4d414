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
  summary: 'drops the slot and the publication',
  help: `Usage: walwatch teardown [options]

Drops the slot, and the publication if walwatch created it and no other slot uses it. Stop the worker first. Changes that
it has not handled are lost. teardown shows the SQL and asks. A slot without a walwatch marker in the publication's
comment may belong to another program: without a terminal, teardown refuses to drop it, even with --yes. It keeps replica
identities (to reset one: ALTER TABLE … REPLICA IDENTITY DEFAULT) and the schema walwatch with dead letters and positions.
You can run it again.

${help.configuration}

Options:
${help.change}
      --force            also drop a slot without a walwatch marker

${help.exit}

Examples:
  walwatch teardown
  walwatch teardown --slot accounts_worker --print | psql -v ON_ERROR_STOP=1 -d accounts
  walwatch teardown --yes && walwatch setup --yes     re-creates a lost slot`,

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
        await print(
          values.print ? '-- Nothing to do.' : `${mark('ok')} nothing to do: the slot '${name}' does not exist.`,
        );
        return exit.ok;
      }
      const asks = !values.print && !values.yes && process.stdin.isTTY === true;
      if (plan.doubt !== undefined && !values.force && !asks) throw notOurs(plan.doubt);
      await print(values.print ? sqlScript(plan.statements.map((sql) => ({ sql }))) : plan.statements.join('\n'));
      if (values.print) return exit.ok;
      const doubt = plan.doubt === undefined ? '' : `${capitalized(plan.doubt)}. `;
      if (!(await confirmed(`${doubt}Run this? Changes that the worker has not handled are lost.`, values)))
        return exit.problem;
      const now = await planTeardown(client, configuration, false);
      if (now.statements.join() !== plan.statements.join() || now.doubt !== plan.doubt) throw changedSince();
      for (const statement of plan.statements) await client.query(statement);
      if ((await planTeardown(client, configuration, false)).statements.length > 0) throw changedSince();
      await print(`${mark('ok')} '${name}' was dropped.`);
      return exit.ok;
    });
  },
};

interface TeardownPlan {
  readonly statements: readonly string[];
  /** Why the slot may belong to another program. */
  readonly doubt: string | undefined;
}

async function planTeardown(client: Client, { resolved }: Configuration, forLater: boolean): Promise<TeardownPlan> {
  const { name } = resolved.slot;
  const server = await readServer(client);
  const slot = await readSlot(client, name, server);
  if (slot) throwIssues(slotIssues({ name, failover: false }, { ...slot, twoPhase: false }, server));
  if (slot?.activePid !== undefined && !forLater) {
    throw new WatchError('SLOT_ACTIVE', `a worker has the slot '${name}' (process ${slot.activePid})`, {
      solution: `Stop it first. If you cannot find it: SELECT pg_catalog.pg_terminate_backend(${slot.activePid});`,
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
    // Other slots still use the publication.
    const comment = withoutMarker(publication.comment, name);
    if (comment === (publication.comment ?? '')) return { statements: drops, doubt };
    const why = own ? 'another slot uses it' : 'walwatch did not create it';
    const stays = `-- The publication stays, because ${why}.`;
    return { statements: [...drops, `${stays}\n${commentOnPublication(resolved.publication.name, comment)};`], doubt };
  }
  const drop = `DROP PUBLICATION ${quoteIdentifier(resolved.publication.name)};`;
  // One transaction: if a worker still has the slot, dropping it fails, and the publication must stay.
  return { statements: ['BEGIN;', ...drops, drop, 'COMMIT;'], doubt };
}

/** Anybody who owns the publication can write its comment, so the marker must match the database. */
function doubtOf(
  marker: Marker | undefined,
  found: { name: string; trusted: boolean; publication: Publication | undefined; server: Server },
): string | undefined {
  const { name, trusted, publication, server } = found;
  if (!marker) return `the slot '${name}' has no walwatch marker and may belong to another program`;
  if (!trusted) {
    return `the marker of the slot '${name}' is in a publication of another role, which may have written it`;
  }
  const here =
    marker.systemIdentifier === server.systemIdentifier &&
    marker.databaseOid === server.databaseOid &&
    marker.publicationOid === publication?.oid;
  return here ? undefined : `the marker of the slot '${name}' belongs to another server, database or publication`;
}

/**
 * Whether the owner of the publication can be trusted: our role, a role that may drop slots itself, or the owner of the
 * database.
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
    'Look at it: SELECT * FROM pg_catalog.pg_replication_slots; If no other program needs it, add --force, or run teardown on a terminal without --yes.',
  );
}

function changedSince(): WatchError {
  return new WatchError('SERVER_BUSY', 'the slot or the publication was changed after the SQL was shown', {
    solution: 'Run teardown again.',
  });
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
