/** K: all packets are lost: how soon the contestant detects it, and how soon it delivers again once packets pass. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Distance, Link } from './link/link.ts';
import { untilIdle } from './listening.ts';
import { median, program, rotated, type Table } from './measure.ts';
import { commandOn, type Route } from './route.ts';
import type { BenchServer } from './server.ts';
import { account, recreateTables } from './workloads.ts';

const contestants = ['walwatch', 'walwatch, heartbeat 5 s', 'postgres'] as const;
type Who = (typeof contestants)[number];

/** Seconds. Infinity: never, or not within the observed time. */
interface Outage {
  /** From the link's end until health() says not ready. */
  readonly noticed: number;
  /** From the link's return to the first event. */
  readonly back: number;
  /** Rows that were never received. */
  readonly lost: number;
}

const ordinary: Distance = { roundTrip: 5 };

export async function benchOutage(server: BenchServer, link: Link, rounds: number, scale: number): Promise<Table> {
  const seconds = 20 * scale;
  const found = new Map<Who, Outage[]>(contestants.map((who) => [who, []]));
  for (let round = 0; round < rounds; round++)
    for (const who of rotated(contestants, round)) {
      const noticed = who === 'postgres' ? Infinity : await untilNoticed(server, link, who, 150 * scale);
      const outage = { noticed, ...(await afterOutage(server, link, who, seconds)) };
      found.get(who)!.push(outage);
      process.stderr.write(`K round ${round + 1}: ${who} ${JSON.stringify(outage)}\n`);
    }
  const shown = (values: readonly number[], never: string) =>
    Number.isFinite(median(values)) ? Number(median(values).toFixed(1)) : never;
  return {
    title: `K: no packets, for good and for ${seconds} s; 10 commits a second`,
    rows: [...found].map(([contestant, all]) => ({
      contestant,
      'not ready after s': shown(
        all.map(({ noticed }) => noticed),
        contestant === 'postgres' ? '' : `more than ${150 * scale}`,
      ),
      'after the return, first event after s': shown(
        all.map(({ back }) => back),
        'more than 120',
      ),
      'rows lost': median(all.map(({ lost }) => lost)),
    })),
  };
}

function untilNoticed(server: BenchServer, link: Link, who: Who, atMost: number): Promise<number> {
  return whileWriting(server, link, who, async ({ unready }) => {
    const gone = process.hrtime.bigint();
    await link.cut();
    await waitFor(() => unready.length > 0, atMost);
    return unready.length > 0 ? secondsBetween(gone, unready[0]!) : Infinity;
  });
}

function afterOutage(
  server: BenchServer,
  link: Link,
  who: Who,
  seconds: number,
): Promise<{ readonly back: number; readonly lost: number }> {
  return whileWriting(server, link, who, async ({ events }, stopWriting) => {
    await link.cut();
    await delay(seconds * 1000);
    await link.set(ordinary);
    const back = process.hrtime.bigint();
    const first = () => events.find(({ at }) => at > back);
    await waitFor(() => first() !== undefined, 120);
    const written = await stopWriting();
    await waitFor(() => events.some(({ id }) => id === written), 10);
    return {
      back: first() ? secondsBetween(back, first()!.at) : Infinity,
      lost: written - new Set(events.map(({ id }) => id)).size,
    };
  });
}

/** While rows are written, beginning with 1, and the contestant has received them for 2 s. */
async function whileWriting<T>(
  server: BenchServer,
  link: Link,
  who: Who,
  work: (listener: Listener, stopWriting: () => Promise<number>) => Promise<T>,
): Promise<T> {
  const { client, routes } = server;
  await recreateTables(client);
  await client.query('create publication walwatch_bench for table accounts');
  await link.set(ordinary);
  const listener = listen(routes[0]!, who);
  let writing = true;
  let written = 0;
  let writer: Promise<void> | undefined;
  const write = async () => {
    for (; writing; await delay(100))
      await client.query(`insert into accounts select ${account} from (values (${++written})) as v (n)`);
  };
  const stopWriting = async () => {
    writing = false;
    await writer;
    return written;
  };
  try {
    await Promise.race([listener.ready, listener.ended.then(() => Promise.reject(new Error(`${who} has ended`)))]);
    writer = write();
    await delay(2000);
    return await work(listener, stopWriting);
  } finally {
    await stopWriting();
    await link.set(ordinary);
    await listener.stop();
    await client.query('select pg_terminate_backend(active_pid) from pg_replication_slots where active');
    await untilIdle(server);
    await client.query('drop publication walwatch_bench');
  }
}

type Listener = ReturnType<typeof listen>;

/** The contestant in a separate process, and its output: see contestants/outage.ts. */
function listen(route: Route, who: Who) {
  const child = spawn(...commandOn(route, route.node, [program('outage'), who, route.url]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const events: { readonly id: number; readonly at: bigint }[] = [];
  const unready: bigint[] = [];
  let begin = () => {};
  const ready = new Promise<void>((resolve) => (begin = resolve));
  createInterface(child.stdout).on('line', (line) => {
    const [what, at, id] = line.split(' ');
    if (what === 'listening') begin();
    else if (what === 'event') events.push({ id: Number(id), at: BigInt(at!) });
    else unready.push(BigInt(at!));
  });
  return {
    events,
    unready,
    ready,
    ended,
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function secondsBetween(begin: bigint, end: bigint): number {
  return Number(end - begin) / 1e9;
}

/** Seconds. */
async function waitFor(condition: () => boolean, atMost: number): Promise<void> {
  const end = performance.now() + atMost * 1000;
  while (!condition() && performance.now() < end) await delay(20);
}
