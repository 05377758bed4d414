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

Prints events from now on, in commit order: one line of text per event on a terminal, with long values cut to its width,
and JSON lines in a pipe. Without a watcher argument it follows all watchers of the configuration file. It ends at
Ctrl-C, or at the next event after the reader has closed the pipe.

Without --slot it reads over a temporary slot. That takes no events from any worker and leaves nothing behind. It creates
a temporary publication, so the role must own the tables; with --publication it uses an existing one.

With --slot it reads a durable slot, created by walwatch setup, as its worker: the slot advances past printed events, and
other events are printed the next time. If a worker has the slot, tail waits until it is free.

With --slot or --publication, --where only checks that the publication has this filter.

${help.watchers}

${help.configuration}
  tail ignores the slot of the configuration file: pass it as --slot.

Options:
      --json             print JSON lines on a terminal, too

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
        'tail needs a watcher',
        'Add one: walwatch tail users:updated --columns role_id. Or write a walwatch.config.mjs: tail follows all its watchers.',
      );
    }
    // A watch would retry forever. An error at the first connection is probably a wrong address.
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
    logger: false, // the file's logger may write to stdout, which is for events
    connection: { ...resolved.connection, types: lenientTypes(resolved.connection.types) },
    watchers: {
      ...options.watchers,
      // Reading an absent value must not throw: the output marks it.
      entries: options.watchers.entries.map(([table, type, own]) => [table, type, { ...own, absent: 'omit' }]),
    },
    // Overrides the file: tail never takes the slot from a worker and never re-creates a lost slot.
    slot:
      named.slot === undefined
        ? { temporary: true }
        : { name: named.slot, failover: resolved.slot.failover, takeover: 'wait', onLost: 'stop' },
    ...(named.slot === undefined
      ? named.publication !== undefined && { publication: named.publication }
      : publication && { publication }),
    // An existing slot or publication belongs to somebody else.
    manage: named.slot === undefined && named.publication === undefined ? 'create' : 'verify',
    onError: 'retry',
  });
  // One subscription for all watchers keeps the commit order.
  watch.onTransaction(async (transaction) => {
    for await (const { event, context } of transaction as AsyncIterable<Change>) {
      // Only printed events are acknowledged.
      await deliver(json ? jsonLine(event, context) : textLine(event, context, columns()));
    }
  });
  tell(watch, watchers.map(({ name }) => name).join(', '), named.slot);
  const stop = () => void watch.stop();
  end.signal.addEventListener('abort', stop, { once: true });
  if (end.signal.aborted) stop();
  try {
    watch.start().catch(() => {}); // `closed` rejects as well
    await watch.closed;
    return exit.ok;
  } catch (error) {
    throw failure(error, resolved);
  }
}

/** Writes everything except events to stderr. */
function tell(watch: SlotWatch<any>, names: string, slot: string | undefined): void {
  const say = (text: string) => note(`walwatch: ${indented(text)}`);
  watch.on('connected', () =>
    say(`following ${names} over ${slot === undefined ? 'a temporary slot' : `the slot '${slot}'`}`),
  );
  watch.on('standby', ({ activePid }) => say(`a worker has the slot (process ${activePid}): waiting for it`));
  watch.on('gap', ({ from, to, reason }) =>
    say(`changes between ${from ?? 'the beginning'} and ${to} were missed: ${reason}`),
  );
  watch.on('warning', ({ code, message }) => {
    // `standby` reports the first, and `absent` values show the second.
    if (code !== 'SLOT_ACTIVE' && code !== 'VALUE_ABSENT') say(`${code}: ${message}`);
  });
  watch.on('handlerFailed', ({ error }) => {
    if (!closedPipe.aborted) say(`an event could not be printed: ${thrownText(error)}; trying again`);
  });
  watch.on('disconnected', ({ error, retryIn }) =>
    say(`${error?.message ?? 'the connection was lost'}; trying again in ${retryIn} ms`),
  );
}
