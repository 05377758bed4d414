import { oneLine } from '../printable.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { messageOf, outboxMessageOf } from '../delivery/message.ts';
import { readLetters, type StoredLetter } from '../delivery/dead-letters.ts';
import { annotationsOf } from '../delivery/letter.ts';
import type { DeadLetterFilter } from '../types/delivery.ts';
import { createWatch } from '../watch/create-watch.ts';
import { type Command, configurationFlags, exit, type ExitCode, help, parse, UsageError } from './arguments.ts';
import { confirmed } from './ask.ts';
import { type Configuration, loadConfiguration, requireSlot } from './config.ts';
import { note, paint, print, printJson, withoutSecrets } from './output.ts';
import { failure, withSession } from './session.ts';

export const deadLetters: Command = {
  summary: 'lists, shows, replays or discards events that could not be handled',
  help: `Usage: walwatch dead-letters list [options]
       walwatch dead-letters show <id …> [options]
       walwatch dead-letters replay [id …] [options]
       walwatch dead-letters discard <id …> [options]

Dead letters are the events of onError: { then: 'deadLetter' }, kept in walwatch.dead_letters for each slot.

replay calls the application's handlers again. So the configuration file must export the function that registers them,
the same one that the worker calls:

  export function subscribe(watch) {
    watch.subscribe('users:updated', sendMail, { name: 'mailer' });
  }

replay calls it with a watch that is not started, runs the handlers in this process, and removes the letters that
succeed. Without such a function: watch.deadLetters.replay() in the worker.

Filters (without any: all letters; discard needs ids, a filter or --all):
      --subscription NAME
      --watcher NAME
      --all              discard: all letters

${help.configuration}

Options:
  -y, --yes              discard: do not ask
      --json             list and show: an array of objects; replay and discard: { count, left }

${help.exit} replay ends with 1 if a letter failed again.

Examples:
  walwatch dead-letters list
  walwatch dead-letters show 42
  walwatch dead-letters replay --subscription mailer
  walwatch dead-letters discard 42 43 --yes`,

  async run(args) {
    const { values, positionals } = parse(args, {
      ...configurationFlags, subscription: { type: 'string' }, watcher: { type: 'string' }, all: { type: 'boolean' },
      yes: { type: 'boolean', short: 'y' }, json: { type: 'boolean' },
    }); // prettier-ignore
    const [action, ...ids] = positionals;
    const run =
      action !== undefined && Object.hasOwn(actions, action) ? actions[action as keyof typeof actions] : undefined;
    if (!run) {
      const wrong = action === undefined ? 'dead-letters needs an action' : `unknown action 'dead-letters ${action}'`;
      throw new UsageError(wrong, `Actions: ${Object.keys(actions).join(', ')}.`);
    }
    const wrong = ids.find((id) => !/^[0-9]{1,18}$/.test(id));
    if (wrong !== undefined)
      throw new UsageError(`invalid id '${wrong}'; expected a number`, 'walwatch dead-letters list shows all ids.');
    const configuration = await loadConfiguration(values);
    requireSlot(configuration);
    const { subscription, watcher } = values;
    const which: DeadLetterFilter = {
      ...(subscription !== undefined && { subscription }), ...(watcher !== undefined && { watcher }), ...(ids.length > 0 && { ids }),
    }; // prettier-ignore
    return run(configuration, which, { all: values.all === true, json: values.json === true, yes: values.yes });
  },
};

interface Flags {
  readonly all: boolean;
  readonly json: boolean;
  readonly yes: boolean | undefined;
}

const actions = { list, show, replay, discard };

async function list(configuration: Configuration, which: DeadLetterFilter, { json }: Flags): Promise<ExitCode> {
  const letters = await readAll(configuration, which);
  if (json) await printJson(letters.map(asJson));
  else if (letters.length === 0) await print('No dead letters.');
  else for (const letter of letters) await print(summary(letter));
  return exit.ok;
}

async function show(configuration: Configuration, which: DeadLetterFilter, { json }: Flags): Promise<ExitCode> {
  const { ids } = which;
  if (ids === undefined)
    throw new UsageError('dead-letters show needs the id of a letter', 'For example: walwatch dead-letters show 42');
  const letters = await readAll(configuration, which);
  if (json) await printJson(letters.map(asJson));
  else for (const letter of letters) await print(details(letter));
  const missing = ids.filter((id) => !letters.some((letter) => letter.id === id));
  if (missing.length > 0) note(`walwatch: dead letter ${missing.join(', ')} not found`);
  return missing.length > 0 ? exit.problem : exit.ok;
}

async function replay(configuration: Configuration, which: DeadLetterFilter, { json }: Flags): Promise<ExitCode> {
  const { options, resolved, subscribe, file } = configuration;
  if (!subscribe) {
    throw new UsageError(
      `${file === undefined ? 'no configuration file was found' : `${file} does not export 'subscribe'`}, so replay does not know the handlers`,
      'Add export function subscribe(watch) { watch.subscribe(…); } to it, or call watch.deadLetters.replay() in the worker.',
    );
  }
  if ((await readAll(configuration, which)).length === 0) {
    await (json ? printJson({ count: 0, left: 0 }) : print('No dead letters.'));
    return exit.ok;
  }
  const watch = createWatch<any>({ ...options, logger: false }); // a logger may write to stdout
  try {
    await subscribe(watch);
    const count = await watch.deadLetters.replay(which);
    const left = (await readAll(configuration, which)).length;
    await (json ? printJson({ count, left }) : print(`${count} replayed, ${left} left.`));
    if (left > 0 && !json)
      note('walwatch: letters that failed again are kept with their new error. See: walwatch dead-letters list');
    return left > 0 ? exit.problem : exit.ok;
  } catch (error) {
    throw failure(error, resolved);
  } finally {
    await watch.stop();
  }
}

async function discard(configuration: Configuration, which: DeadLetterFilter, flags: Flags): Promise<ExitCode> {
  if (Object.keys(which).length === 0 && !flags.all) {
    throw new UsageError(
      'dead-letters discard needs to know which letters',
      'Add ids, --subscription or --watcher; or --all.',
    );
  }
  const letters = await readAll(configuration, which);
  const { json } = flags;
  if (!json) for (const letter of letters) await print(summary(letter));
  if (letters.length > 0 && !(await confirmed(`Discard ${letters.length}?`, flags))) return exit.problem;
  let count = 0;
  if (letters.length > 0) {
    const watch = createWatch<any>({ ...configuration.options, logger: false });
    try {
      // Only the letters that were shown, not newer ones.
      count = await watch.deadLetters.discard({ ids: letters.map(({ id }) => id) });
    } catch (error) {
      throw failure(error, configuration.resolved);
    }
  }
  const left = (await readAll(configuration, {})).length;
  await (json ? printJson({ count, left }) : print(`${count} discarded, ${left} left.`));
  return exit.ok;
}

/** Reads letters with values as PostgreSQL's text, for which no watchers are needed. */
async function readAll(configuration: Configuration, which: DeadLetterFilter): Promise<StoredLetter[]> {
  return withSession(configuration, async (client) => {
    const { name } = configuration.resolved.slot;
    const letters: StoredLetter[] = [];
    try {
      for (let after: string | undefined = '0'; after !== undefined;) {
        const page: StoredLetter[] = await readLetters(client, name, which, after);
        letters.push(...page);
        after = page.at(-1)?.id;
      }
    } catch (error) {
      const { code } = error as { code?: unknown };
      // The first letter creates the table.
      if (code !== sqlState.undefinedTable && code !== sqlState.invalidSchemaName) throw error;
    }
    return letters;
  });
}

/** Values as PostgreSQL's text; of an outbox message its name, value and key. */
function eventOf({ watcher, event }: StoredLetter): object {
  return outboxMessageOf(watcher, messageOf(event)) ?? event;
}

function contextOf({ context }: StoredLetter): object {
  return context.annotations === undefined ? context : { ...context, annotations: annotationsOf(context) };
}

function asJson(letter: StoredLetter): object {
  return {
    ...letter,
    event: eventOf(letter),
    context: contextOf(letter),
    failedAt: new Date(letter.failedAt),
    error: withoutSecrets(letter.error),
  };
}

function summary(letter: StoredLetter): string {
  const { id, subscription, watcher, failedAt, attempts, error } = letter;
  const times = `${attempts} attempt${attempts === 1 ? '' : 's'}`;
  const values = Object.entries(eventOf(letter))
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${oneLine(name)} ${short(value)}`)
    .join(', ');
  const who = `${paint('cyan', oneLine(watcher))} → ${oneLine(subscription)}`;
  const head = `${paint('bold', id)}  ${new Date(failedAt).toISOString()}  ${who}`;
  return `${head}  ${values}  ${times}: ${short(withoutSecrets(error.split('\n')[0] ?? ''))}`;
}

function details(letter: StoredLetter): string {
  const shown = { event: eventOf(letter), context: contextOf(letter) };
  const lines = Object.entries(shown).map(([name, value]) => `  ${name}: ${JSON.stringify(value)}`);
  const stack = withoutSecrets(letter.error)
    .split('\n')
    .map((line) => `    ${oneLine(line)}`);
  return [summary(letter), `  event id: ${oneLine(letter.eventId)}`, ...lines, '  error:', ...stack].join('\n');
}

function short(value: unknown): string {
  const text = oneLine(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
