/**
 * A process of a group, to be killed: prints a line of JSON when it begins with an event, and one when it is done.
 * `node listener.js <nats url> <stream> <group>`
 */
import { connect } from '@nats-io/transport-node';
import { defineWatchers } from 'walwatch';
import { createRemoteWatch } from 'walwatch/nats';
import { print } from './print.ts';

const [servers = '', stream = '', durable = ''] = process.argv.slice(2);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);
const connection = await connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
const watch = createRemoteWatch({ connection, stream, watchers, durable });

watch.subscribe('entries:inserted', async ({ id }, { eventId }) => {
  print({ begun: id });
  await new Promise(setImmediate);
  print({ id, eventId });
});
watch.on('error', (error) => print({ error: error.message }));
process.once('SIGTERM', () => void watch.stop().then(() => connection.close()));
await watch.start();
print({ started: true });
