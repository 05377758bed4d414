/** examples/webhooks, against a receiver that this test controls. */
import { afterEach, expect, test } from 'vitest';
import { receiver } from '../../examples/webhooks/receiver.ts';
import { sign } from '../../examples/webhooks/signature.ts';
import { useDatabase } from '../support/database.ts';
import { startExample } from '../support/example.ts';
import { until } from '../support/until.ts';

const database = useDatabase();
const secret = 'whsec of this test';

interface Hook {
  readonly type: string;
  readonly data: { readonly id: number; readonly state?: string; readonly customer?: string };
}

/** Webhooks that arrived with a valid signature, and the status that answered them. */
const arrived: { hook: Hook; id: string; status: number }[] = [];
let answer: (hook: Hook) => number = () => 204;
let server: ReturnType<typeof receiver> | undefined;

async function startReceiver(): Promise<string> {
  server = receiver(secret, (event, id) => {
    const hook = event as Hook;
    const status = answer(hook);
    arrived.push({ hook, id, status });
    return status;
  });
  return server.listen({ host: '127.0.0.1', port: 0 });
}

afterEach(() => server?.close());

const statusesOf = (id: number) => arrived.filter(({ hook }) => hook.data.id === id).map(({ status }) => status);

test('sends signed events, retries while the receiver fails, and keeps and replays the ones that it refuses', async () => {
  const environment = { DATABASE_URL: database.url, WEBHOOK_URL: await startReceiver(), WEBHOOK_SECRET: secret };
  let failures = 2;
  answer = ({ data }) => (data.customer === 'Busy' && failures-- > 0 ? 503 : data.customer === 'Gone' ? 410 : 204);

  const example = startExample('webhooks', { environment });
  await example.line(/sending to/);
  await database.sql(`insert into example.invoices (customer) values ('Busy'), ('Gone'), ('Ada')`);
  await until(() => statusesOf(1).includes(204) && statusesOf(2).length > 0 && statusesOf(3).length > 0, {
    describe: 'all three invoices',
  });
  expect(statusesOf(1)).toEqual([503, 503, 204]);
  expect(new Set(arrived.filter(({ hook }) => hook.data.id === 1).map(({ id }) => id)).size).toBe(1);

  await database.sql(`update example.invoices set customer = 'Ada Lovelace' where id = 3`); // not its state
  await database.sql(`update example.invoices set state = 'paid' where id = 3`);
  await until(() => statusesOf(3).length === 2, { describe: 'the change of state' });
  expect(arrived.at(-1)?.hook).toMatchObject({ type: 'invoice_state_changed', data: { id: 3, state: 'paid' } });

  await example.line(/attempt 1 Error: the receiver answered 410 → deadLetter/);
  const letters = async () => {
    const [table] = await database.sql(`select from pg_class where oid = to_regclass('walwatch.dead_letters')`);
    return table ? database.sql('select from walwatch.dead_letters') : [];
  };
  await until(async () => (await letters()).length > 0, { describe: 'the dead letter' });
  expect(await example.end('SIGTERM')).toBe(0);
  expect(statusesOf(2)).toEqual([410]); // refused permanently: one attempt
  expect(await database.sql('select subscription, attempts from walwatch.dead_letters')).toEqual([
    { subscription: 'webhooks', attempts: 1 },
  ]);

  answer = () => 204;
  const replay = startExample('webhooks', { environment, args: ['replay'] });
  await replay.line(/replayed 1\n/);
  expect(await replay.ended).toBe(0);
  expect(statusesOf(2)).toEqual([410, 204]);
  expect(await database.sql('select from walwatch.dead_letters')).toEqual([]);
  await database.dropSlot('example_webhooks');
});

test('the receiver refuses a wrong or old signature, and accepts the same event only once', async () => {
  const url = await startReceiver();
  arrived.length = 0;
  const post = async (change: { body?: string; timestamp?: number; key?: string }) => {
    const signed = { id: 'x/0/1/0', timestamp: Math.floor(Date.now() / 1000), body: '{"data":{"id":9}}', ...change };
    const headers = {
      'content-type': 'application/json',
      'webhook-id': signed.id,
      'webhook-timestamp': String(signed.timestamp),
      'webhook-signature': sign(change.key ?? secret, { ...signed, body: '{"data":{"id":9}}' }),
    };
    return (await fetch(url, { method: 'POST', headers, body: signed.body })).status;
  };
  expect(await post({ key: 'another secret' })).toBe(401);
  expect(await post({ body: '{"data":{"id":8}}' })).toBe(401);
  expect(await post({ timestamp: Math.floor(Date.now() / 1000) - 3600 })).toBe(401);
  expect(arrived).toEqual([]);
  expect(await post({})).toBe(204);
  expect(await post({})).toBe(200);
  expect(arrived).toHaveLength(1);
});
