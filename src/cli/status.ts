import { setTimeout as delay } from 'node:timers/promises';
import {
  type Command, configurationFlags, exit, type ExitCode, help, noArguments, parse, positiveNumber,
} from './arguments.ts'; // prettier-ignore
import { type Configuration, loadConfiguration, requireSlot } from './config.ts';
import { interruption } from './interruption.ts';
import { LiveEvents } from './live-events.ts';
import { mark, paint, print, toJson, withoutSecrets } from './output.ts';
import { Screen } from './screen.ts';
import { withSession } from './session.ts';
import { mostEvents, readStatus, type Status } from './status-facts.ts';
import { render } from './status-view.ts';
import { canRedraw } from './terminal.ts';

export const status: Command = {
  summary: 'tells how far the worker has come, and whether all is well',
  help: `Usage: walwatch status [options]

Tells of the slot: who reads it, how far that is behind in bytes of WAL and in seconds, how much WAL the server keeps
for it and how near that is to the limit, and which changes wait. The seconds are the age of the oldest change that was
committed and is not acknowledged. Changes nothing, and needs no running worker.

${help.configuration}

Options:
      --watch            refreshes until Ctrl-C, and shows the last events as they happen (over a temporary slot;
                         they need a configuration file with watchers)
      --interval SECONDS between refreshes; default 2
      --json             an object; with --watch one on each line

${help.exit}
Problems are: no connected worker, a slot that is missing, lost, about to be, or still being made, a standby that holds
all events back. Warnings (!), such as dead letters, an event that has waited for 10 s, or what cannot be known, end it
with 0; so does --watch. That a handler fails is known once the worker has noted it, every 10 s (not if the slot's name
is too long for that); until then its event is one that waits. Why it fails, only the worker's log tells.

Examples:
  walwatch status
  walwatch status --watch
  walwatch status --slot accounts_worker --json | jq .lagBytes`,

  async run(args) {
    const { values, positionals } = parse(args, {
      ...configurationFlags, watch: { type: 'boolean' }, interval: { type: 'string' }, json: { type: 'boolean' },
    }); // prettier-ignore
    noArguments(positionals);
    const seconds = positiveNumber('interval', values.interval, 2);
    const configuration = await loadConfiguration(values);
    requireSlot(configuration);
    const json = values.json === true;
    if (values.watch) return refresh(configuration, seconds * 1000, json);
    const facts = await withSession(configuration, (client) => readStatus(client, configuration));
    await print(json ? toJson(facts, 2) : render(facts));
    return facts.level === 'problem' ? exit.problem : exit.ok;
  },
};

async function refresh(configuration: Configuration, interval: number, json: boolean): Promise<ExitCode> {
  using end = interruption();
  const { signal } = end;
  await using live = configuration.watchers.length > 0 ? new LiveEvents(configuration, mostEvents) : undefined;
  const screen = !json && canRedraw() ? new Screen() : undefined;
  let last: string | undefined;
  const show = async (text: string) => {
    last = text;
    if (screen) screen.draw(text);
    else await print(json ? text : `${text}\n`);
    await delay(interval, undefined, { signal }).catch(() => {}); // the end
  };
  try {
    while (!signal.aborted) {
      try {
        await withSession(configuration, async (client) => {
          while (!signal.aborted) {
            const facts: Status = { ...(await readStatus(client, configuration)), ...lastEvents(live) };
            await show(json ? toJson(facts) : render(facts));
          }
        });
      } catch (error) {
        // What is wrong from the beginning ends it. A server that restarts does not: that is when somebody looks.
        if (last === undefined) throw error;
        const { code, message } = error as { code?: unknown; message: string };
        const reasons = [`${String(code)}: ${withoutSecrets(message)}`];
        const { name } = configuration.resolved.slot;
        const unknown = { slot: name, level: 'problem', reasons };
        await show(json ? toJson(unknown) : `${mark('problem')} ${paint('bold', name)}: ${reasons[0]}; trying again`);
      }
    }
  } finally {
    screen?.[Symbol.dispose]();
  }
  if (screen && last !== undefined) await print(last); // what was seen last stays
  return exit.ok;
}

function lastEvents(live: LiveEvents | undefined): Pick<Status, 'lastEvents' | 'lastEventsProblem'> {
  if (!live) return {};
  const { last, problem } = live;
  return { lastEvents: [...last], ...(problem !== undefined && { lastEventsProblem: problem }) };
}
