/** examples/fastify and examples/nestjs. */
import { expect, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { startExample } from '../support/example.ts';
import { until } from '../support/until.ts';

const database = useDatabase();
const start = (name: string) => startExample(name, { environment: { DATABASE_URL: database.url } });

/** Its address, once its probe reports that the watch streams. */
async function ready(example: ReturnType<typeof startExample>): Promise<string> {
  const [, url] = await example.line(/listening on (http:[^\s,]+)/);
  await until(async () => (await fetch(`${url}/readyz`)).ok, { describe: '/readyz' });
  return url!;
}

test('fastify: a page from memory is correct again after a change by another client, and the server leaves nothing behind', async () => {
  const example = start('fastify');
  const url = await ready(example);
  const get = async () => {
    const response = await fetch(`${url}/products/1`);
    return { cache: response.headers.get('x-cache'), product: (await response.json()) as { price: string } };
  };
  expect(await get()).toEqual({ cache: 'miss', product: { id: 1, name: 'Tea', price: '4.50' } });
  expect(await get()).toMatchObject({ cache: 'hit', product: { price: '4.50' } });
  await database.sql('update example.products set price = 5 where id = 1');
  await until(async () => (await get()).product.price === '5', { describe: 'the new price' });
  expect(await get()).toMatchObject({ cache: 'hit', product: { price: '5' } });

  const body = JSON.stringify({ price: 6 });
  const headers = { 'content-type': 'application/json' };
  expect((await fetch(`${url}/products/1`, { method: 'PUT', headers, body })).status).toBe(204);
  await until(async () => (await get()).product.price === '6', { describe: 'the price that was put' });

  expect(await example.end('SIGTERM')).toBe(0);
  expect(await database.sql(`select pubname from pg_publication where pubname like 'walwatch_live%'`)).toEqual([]);
});

test('fastify: a lost connection empties the cache, because a temporary slot is lost with it', async () => {
  const example = start('fastify');
  const url = await ready(example);
  const price = async () => ((await (await fetch(`${url}/products/1`)).json()) as { price: string }).price;
  const before = await price();
  const session = await database.client();
  // The change is cut off before it is sent: the walsender is terminated within the transaction.
  await session.query('begin');
  await session.query('update example.products set price = price + 1 where id = 1');
  await session.query(`select pg_terminate_backend(active_pid, 5000) from pg_replication_slots
    where database = current_database() and active_pid is not null`);
  await session.query('commit');
  await until(async () => Number(await price()) === Number(before) + 1, { describe: 'the new price' });
  await example.end('SIGTERM');
});

test('nestjs: methods with @OnChange are called, filtered and unfiltered, with this; SIGTERM shuts the application down', async () => {
  const example = start('nestjs');
  await ready(example);
  await database.sql(`insert into example.orders (customer) values ('Ada'), ('Grace')`);
  await example.line(/confirm 1 Ada\n/);
  await example.line(/confirm 2 Grace\n/);
  await database.sql(`update example.orders set status = 'cancelled' where id = 1`);
  await database.sql(`update example.orders set status = 'paid' where id = 2`);
  const shipped = await example.line(/ship (\d+) [0-9A-F]+\/[0-9A-F]+\/0\n/);
  expect(shipped[1]).toBe('2');
  expect(await example.end('SIGTERM')).toBe(0);
  await database.dropSlot('example_nestjs');
});
