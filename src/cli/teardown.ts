import type { Client } from 'pg';
import { quoteIdentifier, readServer } from '../postgres/server.ts';
import { throwIssues, WatchError } from '../errors.ts';
import { isMadeByWalwatch, parseComment, withoutMarker } from '../setup/marker.ts';
import { commentOnPublication, readPublication } from '../setup/publication.ts';
import { readSlot, slotIssues } from '../setup/slot.ts';
import { changeFlags, type Command, configurationFlags, exit, help, noArguments, parse } from './arguments.ts';
import { confirmed } from './ask.ts';
import { type Configuration, loadConfiguration, requireSlot } from './config.ts';
import { mark, print } from './output.ts';
import { withSession } from './session.ts';
import { sqlScript } from './sql-script.ts';

export const teardown: Command = {
  summary: 'drops slot and publication',
  help: `Usage: walwatch teardown [options]

Once the worker has stopped: drops the slot, and the publication if walwatch made it and no other slot uses it. Changes
that the worker has not handled are lost. Replica identities (ALTER TABLE … REPLICA IDENTITY DEFAULT), dead letters and
positions (the schema walwatch) stay. Can be run again.

${help.configuration}

Options:
${help.change}

${help.exit}

Examples:
  walwatch teardown
  walwatch teardown --slot accounts_worker --print | psql -v ON_ERROR_STOP=1 -d accounts
  walwatch teardown --yes && walwatch setup --yes     a slot that is lost is made anew`,

  async run(args) {
    const { values, positionals } = parse(args, { ...configurationFlags, ...changeFlags });
    noArguments(positionals);
    const configuration = await loadConfiguration(values);
    requireSlot(configuration);
    return withSession(configuration, async (client) => {
      const statements = await planTeardown(client, configuration, values.print === true);
      const { name } = configuration.resolved.slot;
      if (statements.length === 0) {
        await print(values.print ? '-- Nothing to do.' : `${mark('ok')} nothing is left of '${name}'.`);
        return exit.ok;
      }
      await print(values.print ? sqlScript(statements) : statements.join('\n'));
      if (values.print) return exit.ok;
      if (!(await confirmed('Run this? What the worker has not handled yet is lost.', values))) return exit.problem;
      for (const statement of statements) await client.query(statement);
      await print(`${mark('ok')} '${name}' is gone.`);
      return exit.ok;
    });
  },
};

async function planTeardown(client: Client, { resolved }: Configuration, forLater: boolean): Promise<string[]> {
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
  if (!publication) return drops;
  const parsed = parseComment(publication.comment);
  const own = isMadeByWalwatch(parsed, { publication: resolved.publication.name, slot: name });
  if (!own || parsed.markers.some((marker) => marker.slot !== name)) {
    // Others go on with it.
    const comment = withoutMarker(publication.comment, name);
    if (comment === publication.comment) return drops;
    const why = own ? 'another slot uses it' : 'walwatch did not make it';
    const stays = `-- The publication stays, because ${why}.`;
    return [...drops, `${stays}\n${commentOnPublication(resolved.publication.name, comment)};`];
  }
  // One transaction: while a worker still has the slot, dropping it fails, and then the publication must stay.
  return ['BEGIN;', ...drops, `DROP PUBLICATION ${quoteIdentifier(resolved.publication.name)};`, 'COMMIT;'];
}
