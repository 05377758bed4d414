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
  summary: "shows the worker's position, its lag and any problems",
  help: `Usage: walwatch status [options]

Shows the slot's worker, its lag in bytes of WAL and in seconds, the WAL that the server keeps for the slot, the limit
for that, and the waiting changes. The seconds are the age of the oldest committed change that is not acknowledged.
It changes nothing and needs no running worker.

${help.configuration}

Options:
      --watch            refreshes until Ctrl-C, and shows the last events as they happen (over a temporary slot;
                         they need a configuration file with watchers)
      --interval SECONDS between refreshes; default 2
      --json             an object; with --watch one on each line

${help.exit}
Problems: no connected worker; a slot that is missing, lost, about to be lost, or still being created; a standby that
holds all events back. With warnings (!), such as dead letters, an event that has waited for 10 s, or facts that could
not be read, the exit code is 0; also with --watch. The worker reports a failing handler every 10 s (not if the slot's
name is too long for that); until then its event is listed as waiting. The reason for the failure is in the worker's log.

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
        // An error at the first reading ends the command. A later one, such as a restart of the server, does not.
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
  if (screen && last !== undefined) await print(last); // the last status stays visible
  return exit.ok;
}

function lastEvents(live: LiveEvents | undefined): Pick<Status, 'lastEvents' | 'lastEventsProblem'> {
  if (!live) return {};
  const { last, problem } = live;
  return { lastEvents: [...last], ...(problem !== undefined && { lastEventsProblem: problem }) };
}
