/** Two network namespaces with a link between them that has delay, loss and outages. Needs Linux, root, `ip` and `cc`. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The properties of the link. */
export interface Distance {
  /** Milliseconds. */
  readonly roundTrip: number;
  /** Percent of the packets. */
  readonly loss?: number;
}

export interface Link extends AsyncDisposable {
  /** The namespace that the server runs in, and its address there. */
  readonly server: string;
  readonly address: string;
  /** The namespace of its clients. */
  readonly client: string;
  set(distance: Distance): Promise<void>;
  /** All packets are lost, until the link is set again. */
  cut(): Promise<void>;
}

/** Addresses of these namespaces only. */
const addresses = { server: '10.77.13.1', client: '10.77.13.2' } as const;
export const subnet = '10.77.13.0/30';

/** Why this machine cannot have a link, if so. */
export async function missingForLink(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'it needs Linux and root';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
  for (const [program, ...args] of [
    ['cc', '--version'],
    ['ip', '-V'],
    ['nsenter', '--version'],
  ] as const) {
    const found = await run(program, args).catch(() => undefined);
    if (!found) return `there is no ${program}`;
  }
  return undefined;
}

export async function openLink(): Promise<Link> {
  const program = join(import.meta.dirname, 'tunlink');
  await run('cc', ['-O2', '-o', program, 'bench/link/tunlink.c']);
  const names = { server: `walwatch-server-${process.pid}`, client: `walwatch-client-${process.pid}` };
  const ip = (...args: string[]) => run('ip', args);
  const remove = async () => {
    for (const name of Object.values(names)) await ip('netns', 'delete', name).catch(() => {});
  };
  for (const name of Object.values(names)) await ip('netns', 'add', name);
  const child = spawn(program, [names.server, 'link', names.client, 'link'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]();
  const answer = async () => {
    if ((await answers.next()).done) throw new Error('the link has ended');
  };
  /** In the units of tunlink.c. */
  const tell = async (delay: number, loss: number, drop: 0 | 1) => {
    // Losing a whole segment of 64 kB is not like losing a packet.
    child.stdin.write(`${Math.round(delay)} ${Math.round(loss)} ${drop} ${loss === 0 ? 1 : 0}\n`);
    await answer();
  };
  const close = async () => {
    child.stdin.end();
    await exited;
    await remove();
  };
  try {
    await answer();
    for (const side of ['server', 'client'] as const) {
      await ip('-n', names[side], 'address', 'add', `${addresses[side]}/30`, 'dev', 'link');
      await ip('-n', names[side], 'link', 'set', 'dev', 'link', 'up');
      await ip('-n', names[side], 'link', 'set', 'dev', 'lo', 'up');
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    server: names.server,
    client: names.client,
    address: addresses.server,
    set: ({ roundTrip, loss = 0 }) => tell(roundTrip * 500, loss * 10_000, 0),
    cut: () => tell(0, 0, 1),
    [Symbol.asyncDispose]: close,
  };
}
