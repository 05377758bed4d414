import { thrownText } from '../errors.ts';
import type { EventContext } from '../types/delivery.ts';
import type { SlotWatch } from '../types/watch.ts';
import { createWatch } from '../watch/create-watch.ts';
import {
  type Command, configurationFlags, exit, type ExitCode, help, parse, UsageError, watcherFlags,
} from './arguments.ts'; // prettier-ignore
import { type Configuration, loadConfiguration } from './config.ts';
import { jsonLine, textLine } from './event-line.ts';
import { interruption } from './interruption.ts';
import { lenientTypes } from './lenient-types.ts';
import { closedPipe, deliver, indented, note } from './output.ts';
import { failure, withSession } from './session.ts';
import { columns, isTerminal } from './terminal.ts';

export const tail: Command = {
  summary: 'prints events as they happen',
  help: `Usage: walwatch tail [watcher …] [options]

Prints events from now on, in commit order: a line for people on a terminal, where long values are cut to its width, and
JSON lines in a pipe. Without a watcher it follows all those of the configuration file. Ends at Ctrl-C, or when whoever
reads has closed the pipe (which shows at the next event).

Without --slot it reads over a temporary slot, which takes no events away from any worker and leaves nothing behind. It
makes a publication for that, for which the role must own the tables; --publication reads through one that exists.

With --slot it reads a durable slot, made by walwatch setup, as its worker: the slot moves on past what was printed,
and what was not comes again. If a worker has the slot, tail waits for it.

With --slot or --publication, --where only checks that the publication has this filter.

${help.watchers}

${help.configuration}
  The slot of a configuration file is not used: --slot must name it.

Options:
      --json             JSON lines on a terminal as well

${help.exit}

Examples:
  walwatch tail users:updated --columns role_id,email
  walwatch tail                          all watchers of walwatch.config.*
  walwatch tail users:updated --where "role_id = 7"
  walwatch tail users:inserted users:deleted | jq .event.id
  walwatch tail users:updated --publication accounts_worker
  walwatch tail users:updated --slot audit > audit.ndjson`,

  async run(args) {
    const { values, positionals } = parse(args, { ...configurationFlags, ...watcherFlags, json: { type: 'boolean' } });
    const configuration = await loadConfiguration(values, positionals);
    if (configuration.watchers.length === 0) {
      throw new UsageError(
        'there is no watcher to follow',
        'Name one: walwatch tail users:updated --columns role_id. Or write a walwatch.config.mjs, whose watchers are all followed.',
      );
    }
    // A watch would try again for ever. What is wrong now is probably the address.
    await withSession(configuration, async () => {});
    return follow(configuration, values, values.json === true || !isTerminal());
  },
};

interface Change {
  readonly event: Readonly<Record<string, unknown>>;
  readonly context: EventContext;
}

async function follow(
  { options, resolved, watchers }: Configuration,
  named: { readonly slot?: string | undefined; readonly publication?: string | undefined },
  json: boolean,
): Promise<ExitCode> {
  using end = interruption();
  const { publication, connection: _, ...shared } = options;
  const watch: SlotWatch<any> = createWatch({
    ...shared,
    logger: false, // that of the file may write to stdout, which is for events
    connection: { ...resolved.connection, types: lenientTypes(resolved.connection.types) },
    watchers: {
      ...options.watchers,
      // Reading `absent` values must not throw; they are told apart.
      entries: options.watchers.entries.map(([table, type, own]) => [table, type, { ...own, absent: 'omit' }]),
    },
    // Whatever the file says: who looks on ends no worker, and leaves a lost slot to people.
    slot:
      named.slot === undefined
        ? { temporary: true }
        : { name: named.slot, failover: resolved.slot.failover, takeover: 'wait', onLost: 'stop' },
    ...(named.slot === undefined
      ? named.publication !== undefined && { publication: named.publication }
      : publication && { publication }),
    // What is there already belongs to others.
    manage: named.slot === undefined && named.publication === undefined ? 'create' : 'verify',
    onError: 'retry',
  });
  // One subscription for all watchers keeps the order in which things happened.
  watch.onTransaction(async (transaction) => {
    for await (const { event, context } of transaction as AsyncIterable<Change>) {
      // Only what was taken over is acknowledged.
      await deliver(json ? jsonLine(event, context) : textLine(event, context, columns()));
    }
  });
  tell(watch, watchers.map(({ name }) => name).join(', '), named.slot);
  const stop = () => void watch.stop();
  end.signal.addEventListener('abort', stop, { once: true });
  if (end.signal.aborted) stop();
  try {
    watch.start().catch(() => {}); // `closed` tells
    await watch.closed;
    return exit.ok;
  } catch (error) {
    throw failure(error, resolved);
  }
}

/** On stderr: what is not an event. */
function tell(watch: SlotWatch<any>, names: string, slot: string | undefined): void {
  const say = (text: string) => note(`walwatch: ${indented(text)}`);
  watch.on('connected', () =>
    say(`following ${names} over ${slot === undefined ? 'a temporary slot' : `the slot '${slot}'`}`),
  );
  watch.on('standby', ({ activePid }) => say(`a worker has the slot (process ${activePid}): waiting for it`));
  watch.on('gap', ({ from, to, reason }) =>
    say(`changes between ${from ?? 'the beginning'} and ${to} were not seen: ${reason}`),
  );
  watch.on('warning', ({ code, message }) => {
    // `standby` tells of the first, and `absent` of the second.
    if (code !== 'SLOT_ACTIVE' && code !== 'VALUE_ABSENT') say(`${code}: ${message}`);
  });
  watch.on('handlerFailed', ({ error }) => {
    if (!closedPipe.aborted) say(`an event could not be printed: ${thrownText(error)}; trying again`);
  });
  watch.on('disconnected', ({ error, retryIn }) =>
    say(`${error?.message ?? 'the connection was lost'}; trying again in ${retryIn} ms`),
  );
}
