/**
 * One program, three roles. `worker` reads the slot and relays the events. `mailer` belongs to a group that shares the work. `live`
 * receives the events that happen while it runs. Start as many of each as you like, each in its own terminal.
 */
import { connect } from '@nats-io/transport-node';
import { pino } from 'pino';
import { createWatch } from 'walwatch';
import { createRemoteWatch, relay } from 'walwatch/nats';
import { createTables } from './tables.ts';
import { watchers } from './watchers.ts';

const [role] = process.argv.slice(2);
const logger = pino({ level: process.env['LOG_LEVEL'] ?? 'warn' });
const stream = 'walwatch_example_nats';
const connection = await connect({
  servers: process.env['NATS_URL'] ?? 'nats://127.0.0.1:4222',
  maxReconnectAttempts: -1, // reconnect, no matter how long the broker is down
});

function worker() {
  const watch = createWatch({ slot: 'walwatch_example_nats', watchers, logger });
  relay(watch, { connection, stream });
  return watch;
}

function mailer() {
  const watch = createRemoteWatch({ connection, stream, watchers, logger, durable: 'mailer' });
  // The event is acknowledged when the handler is done. If this process dies first, another one of the group receives the event.
  watch.subscribe('walwatch_example_nats.users:inserted', ({ id, email }, { eventId }) => {
    console.log(`welcome mail to user ${id}, ${email} (${eventId})`);
  });
  return watch;
}

function live() {
  const watch = createRemoteWatch({ connection, stream, watchers, logger });
  watch.subscribe('walwatch_example_nats.users:updated', ({ id, role_id }, { previous }) => {
    console.log(`user ${id} has role ${role_id}, before ${previous.role_id}`);
  });
  watch.subscribe('walwatch_example_nats.users:updated', { role_id: 1 }, ({ id }) => {
    console.log(`user ${id} is an admin, or was one`);
  });
  return watch;
}

const roles = { worker, mailer, live };
if (!role || !Object.hasOwn(roles, role)) throw new Error('node main.js worker | mailer | live');
if (role === 'worker') await createTables();
const watch = roles[role as keyof typeof roles]();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void watch.stop());
watch.on('connected', () => console.log(`${role}: started`));
void watch.start(); // not awaited: a second worker waits as the standby of the first
try {
  await watch.closed;
} finally {
  await connection.close();
}
