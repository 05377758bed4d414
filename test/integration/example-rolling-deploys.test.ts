/** Each framework's example, deployed over a running one: two processes on one slot. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { createDatabase, type Database } from '../support/database.ts';
import { openStream, watchQuery } from '../support/event-stream.ts';
import { type Example, runExample } from '../support/example.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication } from '../support/watching.ts';

let cluster: Cluster;
let database: Database & AsyncDisposable;

// A separate server, because slots have the examples' names, which other test files use too.
beforeAll(async () => {
  cluster = await startCluster();
  database = await createDatabase(cluster.url);
  await database.sql(`insert into roles values (7, 'seven')`);
  await database.sql(`insert into users (id, name, role_id) values (1, 'Ada', 7)`);
});

afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});

interface Health {
  readonly status: number;
  readonly reasons: readonly string[];
}

class Instance {
  readonly #example: Example;
  url = '';

  constructor(program: string) {
    this.#example = runExample(program, [], { DATABASE_URL: database.url, PORT: '0' });
  }

  /** Waits until its server answers, whatever the state of its watch. */
  async listening(): Promise<this> {
    [, this.url = ''] = await this.prints(/listening on (http:[^\s,]+)/);
    return this;
  }

  prints(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#example.prints(pattern);
  }

  async #readyz(): Promise<Health> {
    const response = await fetch(`${this.url}/readyz`, { headers: { connection: 'close' } });
    return { status: response.status, reasons: ((await response.json()) as Health).reasons };
  }

  /** Waits until its probe reports this. */
  async is(wanted: (health: Health) => boolean, describe: string): Promise<Health> {
    let health: Health | undefined;
    await until(async () => wanted((health = await this.#readyz())), {
      describe: () => `${describe}, not ${JSON.stringify(health)}:\n${this.#example.output}`,
    });
    return health!;
  }

  async end(): Promise<void> {
    this.#example.process.kill('SIGTERM');
    expect({ ended: await this.#example.ended(), output: this.#example.output }).toMatchObject({ ended: 0 });
  }
}

const isStreaming = ({ status, reasons }: Health) => status === 200 && reasons.length === 0;
const isStandby = ({ reasons }: Health) => reasons.some((reason) => reason.startsWith('standing by'));

const own = [['users:updated', { role_id: 7 }]];
const headers = { cookie: 'session=1.7' };

/** A page that is connected to it gets a change. */
async function delivers({ url }: Instance): Promise<void> {
  const stream = await openStream(`${url}/live`, own, { headers });
  await stream.has(({ type }) => type === 'position');
  await database.sql(`update users set name = name || '!'`);
  await stream.has(({ type }) => type === 'message');
  await stream.close();
}

/** The second process answers while the first one has the slot, and continues where that ended. */
async function deployLive(program: string, slot: string): Promise<void> {
  const first = await new Instance(program).listening();
  await first.is(isStreaming, 'streaming');
  const page = await openStream(`${first.url}/live`, own, { headers }); // does not delay the end

  const second = await new Instance(program).listening();
  expect((await second.is(isStandby, 'standing by')).status).toBe(200);
  const refused = await fetch(`${second.url}/live${watchQuery(own)}`, { headers: { ...headers, connection: 'close' } });
  expect([refused.status, await refused.text()]).toEqual([503, expect.any(String)]);

  await first.end();
  await page.ended.catch(() => {}); // closed, or cut off
  await second.is(isStreaming, 'streaming');
  await delivers(second);
  await second.end();
  await dropSlotAndPublication(database, slot);
}

async function deployNest(): Promise<void> {
  const program = '.build/examples/nestjs/main.js';
  const first = await new Instance(program).listening();
  await first.is(isStreaming, 'streaming');
  const second = await new Instance(program).listening();
  expect((await second.is(isStandby, 'standing by')).status).toBe(200);
  await first.end();
  await database.sql(`insert into example.orders (customer) values ('Ada')`); // perhaps while no process has the slot
  await second.prints(/confirm 1 Ada\n/);
  await second.is(isStreaming, 'streaming');
  await second.end();
  await dropSlotAndPublication(database, 'example_nestjs');
}

test('a second process listens and is ready while on standby, the first ends with 0, and the second takes over', async () => {
  await Promise.all([
    deployLive('.build/examples/sse-fastify/main.js', 'sse_fastify'),
    deployLive('.build/examples/sse-hono/main.js', 'sse_hono'),
  ]);
  await Promise.all([deployLive('.build/test/programs/next-server.js', 'sse_next'), deployNest()]);
}, 120_000);

test('Fastify: the server listens while the database is down, and `close` ends it', async () => {
  const nowhere = new URL(database.url);
  nowhere.port = '1';
  const { default: fastify } = await import('fastify');
  const { watchPlugin } = await import('../../examples/fastify/plugin.ts');
  const { watchers } = await import('../../examples/fastify/watchers.ts');
  const app = fastify();
  await app.register(watchPlugin, { connection: nowhere.href, slot: { temporary: true }, watchers });
  await app.ready();
  expect((await app.inject('/readyz')).statusCode).toBe(503);
  expect((await app.inject('/livez')).statusCode).toBe(200);
  await app.close();
});
