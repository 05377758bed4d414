/**
 * `npm run bench -- [A B C …] [--rounds 5] [--scale 1]`: measures walwatch against what else there is, and prints tables.
 * bench/README.md says what the workloads are.
 */
import { parseArgs } from 'node:util';
import { benchBacklog } from './backlog.ts';
import { openServer } from './server.ts';
import { backlogs, type BacklogName } from './workloads.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '5' }, scale: { type: 'string', default: '1' } },
});
const wanted = positionals.length > 0 ? positionals : Object.keys(backlogs);
await using server = await openServer();
for (const name of wanted) {
  const result = await benchBacklog(server, name as BacklogName, Number(values.rounds), Number(values.scale));
  const base = result.contestants[0]!.seconds;
  console.log(`\n${name}: ${result.rows} ${result.what}; PostgreSQL ${server.version}, Node ${process.version}`);
  console.table(
    result.contestants.map((one) => ({
      contestant: one.name,
      ratio: Number((one.seconds / base).toFixed(2)),
      seconds: Number(one.seconds.toFixed(2)),
      'client CPU': one.clientCpu,
      'walsender CPU': one.walsenderCpu,
      'peak RSS MB': Math.round(one.rss / 1e6),
    })),
  );
}
