/**
 * A worker to be killed: prints each event that its handlers have done with, one JSON line each.
 * `node recorder.js <url> <slot>`; watches the table `entries`.
 */
import { createWatch, defineWatchers } from 'walwatch';
import { print } from './print.ts';

const [connection = '', slot = ''] = process.argv.slice(2);
const watchers = defineWatchers<{ entries: { id: number; record: number; version: number } }>()([
  ['entries', 'inserted', { extraColumns: ['record', 'version'] }],
]);
const watch = createWatch({ connection, slot, watchers });

watch.subscribe(
  'entries:inserted',
  async ({ id, record, version }, { eventId }) => {
    await new Promise(setImmediate);
    print({ id, record, version, eventId });
  },
  { concurrency: 4 },
);
watch.on('acknowledged', ({ lsn }) => print({ acknowledged: lsn }));
watch.on('error', (error) => print({ error: error.message }));
process.once('SIGTERM', () => void watch.stop());
await watch.start();
print({ started: true });
