/** examples/outbox, with the API and the worker as separate processes, and a mail provider that this test controls. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { mailProvider, type Request } from '../../examples/outbox/mail-provider.ts';
import { useDatabase } from '../support/database.ts';
import { startExample } from '../support/example.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication } from '../support/watching.ts';

const database = useDatabase();

/** What arrived at the provider. `answer` may delay its answer. */
const requests: Request[] = [];
let answer: (request: Request) => unknown;
const provider = mailProvider((request) => {
  requests.push(request);
  return answer(request);
});
let environment: NodeJS.ProcessEnv;
beforeAll(async () => {
  const providerUrl = await provider.listen({ host: '127.0.0.1', port: 0 });
  environment = { DATABASE_URL: database.url, MAIL_URL: providerUrl };
});
afterAll(() => provider.close());
beforeEach(() => {
  requests.length = 0;
  answer = () => {};
});

const requestsTo = (email: string) => requests.filter(({ mail }) => mail.to === email);
const mailsTo = (email: string) => requestsTo(email).filter(({ repeated }) => !repeated);

async function startApi() {
  const api = startExample('outbox', { environment, args: ['api'] });
  const [, url] = await api.line(/orders: (\S+)\n/);
  const order = async (email: string, total: string, headers: Record<string, string> = {}) => {
    const body = JSON.stringify({ email, total });
    const response = await fetch(`${url}/orders`, {
      method: 'POST', body, headers: { 'content-type': 'application/json', ...headers },
    }); // prettier-ignore
    return response.status;
  };
  return { api, order };
}

async function startWorker() {
  const worker = startExample('outbox', { environment, args: ['worker'] });
  await worker.line(/sending mails\n/);
  return worker;
}

test('one trace goes from the caller through the request and the handler to the mail provider', async () => {
  const { api, order } = await startApi();
  const worker = await startWorker();
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  expect(await order('ada@example.org', '42.00', { traceparent: `00-${trace}-00f067aa0ba902b7-01` })).toBe(201);
  await until(() => mailsTo('ada@example.org').length === 1, { describe: 'the mail' });

  // span <trace> <parent> → <span> <name>
  const spanOf = async (example: typeof api, name: string) =>
    (await example.line(new RegExp(`span ${trace} (\\w+) → (\\w+) ${name}\\n`))).slice(1);
  const [caller, request] = await spanOf(api, 'POST /orders');
  const [before, handled] = await spanOf(worker, 'handle message:order.placed');
  const [outer, sent] = await spanOf(worker, 'send mail');
  expect(caller).toBe('00f067aa0ba902b7');
  expect(before).toBe(request);
  expect(outer).toBe(handled);
  expect(requests).toMatchObject([
    { mail: { subject: 'Your order 1', text: 'Total: 42.00' }, traceparent: `00-${trace}-${sent}-01` },
  ]);
  for (const example of [worker, api]) expect(await example.end('SIGTERM')).toBe(0);
  await dropSlotAndPublication(database, 'example_outbox');
});

test('a mail whose answer was lost with the worker is sent again with the same key, so the provider sends each mail once', async () => {
  const { api, order } = await startApi();
  let worker = await startWorker();
  const customers = Array.from({ length: 20 }, (_, index) => `customer-${index}@example.org`);
  answer = ({ mail }) => mail.to === 'lost@example.org' && new Promise(() => {}); // accepted, but never answered
  expect(await order('lost@example.org', '1.00')).toBe(201);
  await until(() => requestsTo('lost@example.org').length === 1, { describe: 'the mail without an answer' });
  for (const email of customers.slice(0, 10)) expect(await order(email, '2.00')).toBe(201);
  await until(() => customers.slice(0, 10).every((email) => mailsTo(email).length === 1), {
    describe: 'the mails after it',
  });
  expect(await worker.end('SIGKILL')).toBe('SIGKILL');

  answer = () => {};
  for (const email of customers.slice(10)) expect(await order(email, '3.00')).toBe(201); // no worker runs
  expect(await order('lost@example.org', '4.00')).toBe(201);
  worker = await startWorker();
  await until(
    () => mailsTo('lost@example.org').length === 2 && customers.every((email) => mailsTo(email).length === 1),
    {
      describe: () => `all mails, but there are ${JSON.stringify(requests)}`,
    },
  );
  expect(await worker.end('SIGTERM')).toBe(0);

  const lost = requestsTo('lost@example.org').map(({ mail, repeated }) => `${mail.text}${repeated ? ' again' : ''}`);
  expect(lost).toEqual(['Total: 1.00', 'Total: 1.00 again', 'Total: 4.00']);
  const keys = requestsTo('lost@example.org').map(({ idempotencyKey }) => idempotencyKey);
  expect(keys[1]).toBe(keys[0]);
  expect(keys[2]).not.toBe(keys[0]);
  expect(customers.map((email) => mailsTo(email).length)).toEqual(customers.map(() => 1));
  expect(await api.end('SIGTERM')).toBe(0);
  await dropSlotAndPublication(database, 'example_outbox');
});
