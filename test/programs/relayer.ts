/** A worker to be killed: relays inserts into `entries`. `node relayer.js <url> <slot> <nats url>`; the stream has the slot's name. */
import { connect } from '@nats-io/transport-node';
import { createWatch, defineWatchers } from 'walwatch';
import { relay } from 'walwatch/nats';

const [url = '', slot = '', servers = ''] = process.argv.slice(2);
const watchers = defineWatchers([['entries', 'inserted']]);
const watch = createWatch({ connection: url, slot, watchers });
const connection = await connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
relay(watch, { connection, stream: slot });
process.once('SIGTERM', () => void watch.stop().then(() => connection.close()));
await watch.start();
