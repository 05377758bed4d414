// A worker that uses the features for which walwatch runs SQL: dead letters, positions and attempts. It checks itself. It is run
// as it is and bundled, by test/integration/bundled.test.ts, scripts/try-bundlers.mjs and scripts/try-runtimes.mjs.
import pg from 'pg';
import { ConfigurationError, createWatch, defineWatchers } from 'walwatch';

const watchers = defineWatchers([['parcels', 'inserted']]);

/** @param {string} connection a superuser's, of a database without other users */
export async function work(connection) {
  // The names of classes do not survive a minifier; `name` and `instanceof` do.
  try {
    createWatch({ slot: 'NOT A SLOT', watchers });
    throw new Error('a wrong name was not refused');
  } catch (error) {
    if (!(error instanceof ConfigurationError) || error.name !== 'ConfigurationError') throw error;
  }

  const client = new pg.Client(connection);
  await client.connect();
  await client.query(`
    drop schema if exists walwatch cascade;
    drop table if exists parcels, delivered;
    create table parcels (id int primary key);
    create table delivered (id int primary key)`);
  const slot = `tried_${process.pid}`;
  const watch = createWatch({ connection, slot, watchers });
  watch.subscribe(
    'parcels:inserted',
    () => {
      throw new Error('refused');
    },
    { name: 'refuses', onError: { attempts: 1, then: 'deadLetter' } },
  );
  watch.subscribe(
    'parcels:inserted',
    async ({ id }, context) => {
      await context.client.query('insert into delivered values ($1)', [id]);
    },
    { name: 'delivers', transaction: true },
  );
  await watch.start();
  await client.query('insert into parcels values (7)');
  await watch.caughtUp();
  await watch.stop();
  const { rows } = await client.query(`
    select (select error from walwatch.dead_letters) as error, (select subscription from walwatch.positions) as position,
           (select id from delivered) as delivered`);
  await client.query('select pg_drop_replication_slot($1)', [slot]);
  await client.query(`drop publication ${slot}`);
  await client.end();
  const [{ error, position, delivered }] = rows;
  if (!/refused/.test(error) || position !== 'delivers' || delivered !== 7) throw new Error(JSON.stringify(rows));
  console.log('the worker has worked');
}
