import type { Client } from 'pg';
import { quoteIdentifier, readServer } from '../postgres/server.ts';
import { throwIssues, WatchError } from '../errors.ts';
import { parseComment, withoutMarker } from '../setup/marker.ts';
import { commentOnPublication, readPublication } from '../setup/publication.ts';
import { readSlot, slotIssues } from '../setup/slot.ts';
import { changeFlags, type Command, configurationFlags, exit, help, noArguments, parse } from './arguments.ts';
import { confirmed } from './ask.ts';
import { type Configuration, loadConfiguration, requireSlot } from './config.ts';
import { mark, print } from './output.ts';
import { recordedIdentities, restoreIdentities } from './replica-identity.ts';
import { withSession } from './session.ts';

export const teardown: Command = {
  summary: 'drops slot and publication, and takes back the replica identities that setup changed',
  help: `Usage: walwatch teardown [options]

The way back of setup, once the worker has stopped: drops the slot, and the publication unless another slot uses it,
and gives tables their former replica identity, if setup changed it and nobody did since. Changes that the worker has
not handled are lost. Dead letters and positions (the schema walwatch) stay. Can be run again.

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
      await print(statements.join('\n'));
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
  if (slot) throwIssues(slotIssues({ name, failover: false }, slot, server));
  if (slot?.activePid !== undefined && !forLater) {
    throw new WatchError('SLOT_ACTIVE', `a worker has the slot '${name}' (process ${slot.activePid})`, {
      solution: `Stop it first. If it is not to be found: SELECT pg_terminate_backend(${slot.activePid});`,
    });
  }
  const publication = await readPublication(client, resolved.publication.name, server);
  const drops = slot ? [`SELECT pg_drop_replication_slot('${name}');`] : [];
  if (!publication) return drops;
  const others = parseComment(publication.comment).markers.filter((marker) => marker.slot !== name);
  if (others.length > 0) {
    // The others go on with it.
    const comment = withoutMarker(publication.comment, name);
    if (comment === publication.comment) return drops;
    return [...drops, `${commentOnPublication(resolved.publication.name, comment)};`];
  }
  const recorded = recordedIdentities(publication.comment);
  const back = await restoreIdentities(client, recorded, resolved.publication.name);
  // One transaction: while a worker still has the slot, dropping it fails, and then the publication must stay.
  return [
    'BEGIN;',
    ...drops,
    `DROP PUBLICATION ${quoteIdentifier(resolved.publication.name)};`,
    'COMMIT;',
    ...back.map((statement) => `BEGIN; SET LOCAL lock_timeout = '2s'; ${statement} COMMIT;`),
  ];
}
