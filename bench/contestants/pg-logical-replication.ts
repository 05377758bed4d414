/**
 * `node pg-logical-replication.js <url> <slot> <publication> <readme|manual> <rows> <end LSN>`: pg-logical-replication with its
 * own decoder, as its README shows it, or acknowledging by hand after every 1,000 rows. Ends once the slot is at the end.
 */
import { LogicalReplicationService, PgoutputPlugin } from 'pg-logical-replication';

const [url = '', slot = '', publication = '', mode = '', rows = '', end = ''] = process.argv.slice(2);
const service = new LogicalReplicationService(
  { connectionString: url },
  { acknowledge: mode === 'manual' ? { auto: false, timeoutSeconds: 0 } : { auto: true, timeoutSeconds: 10 } },
);
const plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: [publication] });
const position = (lsn: string): bigint => {
  const [high = '0', low = '0'] = lsn.split('/');
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
};
const last = position(end);
let received = 0;
let unacknowledged = 0;
const used = process.cpuUsage();
const begin = performance.now();

async function finish(lsn: string): Promise<void> {
  await service.acknowledge(lsn);
  const seconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(used);
  console.log(JSON.stringify({ rows: received, seconds, cpu: (user + system) / 1e6 }));
  await service.stop();
  process.exit(received === Number(rows) ? 0 : 1);
}

service.on('data', (lsn: string, message: { tag: string; commitEndLsn?: string }) => {
  if (message.tag === 'insert' || message.tag === 'update') {
    received++;
    unacknowledged++;
  } else if (message.tag === 'commit') {
    const at = message.commitEndLsn ?? lsn;
    if (position(at) >= last && received === Number(rows)) void finish(at);
    else if (mode === 'manual' && unacknowledged >= 1000) {
      unacknowledged = 0;
      void service.acknowledge(at);
    }
  }
});
service.on('error', (error) => {
  console.error(error);
  process.exit(1);
});
await service.subscribe(plugin, slot);
