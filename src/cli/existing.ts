import { oneLine } from '../printable.ts';
import { type Command, configurationFlags, exit, type ExitCode, help, parse, UsageError } from './arguments.ts';
import { confirmed } from './ask.ts';
import { type Configuration, loadConfiguration, requireSlot } from './config.ts';
import { type ExistingTable, readExisting } from './existing-facts.ts';
import { existingLine } from './existing-view.ts';
import { mark, print, printJson } from './output.ts';
import { withSession } from './session.ts';
import { readSlotStates } from './slot-state.ts';

export const existing: Command = {
  summary: 'lists the progress of reading existing rows, or has them read again',
  help: `Usage: walwatch existing list [options]
       walwatch existing restart <subscription> [--table NAME] [options]

Existing rows are rows that were in a table before the first start of a subscription with the option existing. The
progress of each table of each subscription is stored in walwatch.existing.

list shows that state. restart begins a new run for the tables of a subscription: a running worker starts to read them
within 10 seconds, otherwise the next worker when it starts. All rows are delivered again, with new event ids.
To keep a restart in your code and its history, change the version instead: { existing: 'v2' }.

${help.configuration}

Options:
      --table NAME       restart: only this table, such as orders or erp.orders; list: only this table
  -y, --yes              restart: do not ask
      --json             list: an array of objects; restart: { restarted }

${help.exit}

Examples:
  walwatch existing list
  walwatch existing list --json | jq '.[] | select(.state != "done")'
  walwatch existing restart search
  walwatch existing restart search --table orders --yes`,

  async run(args) {
    const { values, positionals } = parse(args, {
      ...configurationFlags, table: { type: 'string' }, yes: { type: 'boolean', short: 'y' }, json: { type: 'boolean' },
    }); // prettier-ignore
    const [action, ...names] = positionals;
    if (action !== 'list' && action !== 'restart') {
      const wrong = action === undefined ? 'an action is missing' : `there is no 'existing ${action}'`;
      throw new UsageError(wrong, 'Actions: list, restart.');
    }
    if (action === 'restart' && names.length !== 1) {
      const wrong = names.length === 0 ? 'a subscription is missing' : `unexpected argument '${names[1]}'`;
      throw new UsageError(wrong, 'walwatch existing restart search');
    }
    if (action === 'list' && names.length > 0) throw new UsageError(`unexpected argument '${names[0]}'`);
    const configuration = await loadConfiguration(values);
    requireSlot(configuration);
    const flags = { table: values.table, yes: values.yes, json: values.json === true };
    return action === 'list' ? list(configuration, flags) : restart(configuration, names[0]!, flags);
  },
};

interface Flags {
  readonly table: string | undefined;
  readonly yes: boolean | undefined;
  readonly json: boolean;
}

async function list(configuration: Configuration, { table, json }: Flags): Promise<ExitCode> {
  const found = (await readAll(configuration)).filter(isOf(table));
  if (json) await printJson(found);
  else if (found.length === 0) await print('No subscription has read existing rows.');
  else for (const one of found) await print(`${mark(one.state === 'done' ? 'ok' : 'warning')} ${existingLine(one)}`);
  return exit.ok;
}

async function restart(configuration: Configuration, subscription: string, flags: Flags): Promise<ExitCode> {
  const { table, json } = flags;
  const all = await readAll(configuration);
  const found = all.filter((one) => one.subscription === subscription).filter(isOf(table));
  if (found.length === 0) {
    const known = [...new Set(all.map((one) => `'${oneLine(one.subscription)}' (${oneLine(one.table)})`))].join(', ');
    const what = table === undefined ? '' : ` of the table '${table}'`;
    throw new UsageError(
      `the subscription '${subscription}' has not read existing rows${what}`,
      known === '' ? 'No subscription of this slot has read existing rows.' : `Known: ${known}.`,
    );
  }
  if (!json) for (const one of found) await print(existingLine(one));
  const question = `Read the existing rows of ${found.map((one) => oneLine(one.table)).join(', ')} again?`;
  if (!(await confirmed(question, flags))) return exit.problem;
  const { name } = configuration.resolved.slot;
  const [count, runs] = await withSession(configuration, async (client) => {
    // A worker notices the new run when it stores its state, looks for new runs, or starts.
    const { rowCount } = await client.query(
      `update walwatch.existing set run = run + 1, state = 'reading', last_key = null, cursor = null, ahead = default, reread = default,
         reread_up_to = default, rows = 0, updated_at = pg_catalog.now()
       where slot = $1 and subscription = $2 and table_name = any ($3)`,
      [name, subscription, found.map((one) => one.table)],
    );
    const state = (await readSlotStates(client)).find((one) => one.name === name);
    return [rowCount ?? 0, state?.activePid != null] as const;
  });
  const when = runs ? 'the running worker starts within 10 seconds' : 'the next worker reads them when it starts';
  const tables = `${count} ${count === 1 ? 'table' : 'tables'}`;
  await (json ? printJson({ restarted: count }) : print(`${tables} will be read again: ${when}.`));
  return exit.ok;
}

/** `orders` is `public.orders`, as in a watcher. */
function isOf(table: string | undefined): (one: ExistingTable) => boolean {
  return (one) => table === undefined || one.table === table || one.table === `public.${table}`;
}

async function readAll(configuration: Configuration): Promise<readonly ExistingTable[]> {
  return withSession(configuration, async (client) => {
    const { slot, publication } = configuration.resolved;
    const { of, unknown } = await readExisting(client, slot.name, publication.name);
    if (unknown !== undefined) throw new UsageError(`walwatch.existing cannot be read: ${unknown}`);
    return of;
  });
}
