/**
 * `node live.js <who> <url> <count>`: receives inserts into `accounts` as they are made, and prints `ready`, then, after
 * `count` of them, when each arrived: a JSON array of [id, nanoseconds of the machine's monotonic clock].
 * Who: walwatch, walwatch-immediate, pg-logical-replication, postgres (sql.subscribe), notify (LISTEN to a trigger's NOTIFY).
 */
import pg from 'pg';
import { LogicalReplicationService, PgoutputPlugin } from 'pg-logical-replication';
import postgres from 'postgres';
import { createWatch } from 'walwatch';
import { withoutParameters } from '../postgres-url.ts';
import { watchersOf } from '../workloads.ts';

const [who = '', url = '', count = ''] = process.argv.slice(2);
const wanted = Number(count);
const came: (readonly [number, string])[] = [];

function hear(id: number): void {
  came.push([id, String(process.hrtime.bigint())]);
  if (came.length !== wanted) return;
  process.stdout.write(`${JSON.stringify(came)}\n`, () => process.exit(0));
}

const contestants: Record<string, () => Promise<unknown>> = {
  walwatch: () => walwatch('committed'),
  'walwatch-immediate': () => walwatch('immediate'),
  'pg-logical-replication': async () => {
    const service = new LogicalReplicationService({ connectionString: url });
    service.on('data', (_: string, message: { tag: string; new?: { id: number } }) => {
      if (message.tag === 'insert') hear(message.new!.id);
    });
    const started = new Promise((resolve) => service.once('start', resolve));
    const plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: ['walwatch_bench'] });
    service.subscribe(plugin, 'walwatch_bench').catch((error: unknown) => fail(error));
    await started;
  },
  postgres: async () => {
    const sql = postgres(...withoutParameters(url, { publications: 'walwatch_bench', onnotice: () => {} }));
    await sql.subscribe('insert:accounts', (row) => hear(row!['id'] as number));
  },
  notify: async () => {
    const client = new pg.Client(url);
    await client.connect();
    client.on('notification', ({ payload }) => hear((JSON.parse(payload!) as { id: number }).id));
    await client.query('listen accounts');
  },
};

async function walwatch(visibility: 'committed' | 'immediate'): Promise<void> {
  const watch = createWatch({
    connection: url,
    slot: { temporary: true },
    watchers: watchersOf('accounts', 'inserted'),
    visibility,
  });
  watch.on('error', fail);
  watch.subscribe('changed', ({ id }) => hear(id as number));
  await watch.start();
}

function fail(error: unknown): never {
  console.error(error);
  process.exit(1);
}

await contestants[who]!().catch(fail);
console.log('ready');
