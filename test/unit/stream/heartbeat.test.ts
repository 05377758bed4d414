import type { Client } from 'pg';
import { expect, test } from 'vitest';
import { parseLsn } from '../../../src/postgres/lsn.ts';
import { Heartbeat, type StreamFacts } from '../../../src/stream/heartbeat.ts';

const prefix = 'walwatch:heartbeat:worker';
const interval = 5000;
const timeout = 60_000;

/** A server that writes each heartbeat at 0/64, at once or when the test lets it. */
function server() {
  const unanswered: (() => void)[] = [];
  let answering = true;
  const client = {
    query: () =>
      new Promise((resolve) => {
        const answer = () => resolve({ rows: [{ lsn: '0/64' }] });
        if (answering) answer();
        else unanswered.push(answer);
      }),
  } as unknown as Client;
  const heartbeat = new Heartbeat('worker', interval, timeout);
  let written = 0;
  const session = {
    use: <T>(task: (client: Client) => Promise<T>) => {
      written++;
      return task(client);
    },
  };
  return {
    heartbeat,
    beat: (stream: Partial<StreamFacts> = {}) =>
      heartbeat.beat(session, { paused: false, write: 0n, silence: 0, ...stream }),
    isSilent: () => (answering = false),
    answer: () => unanswered.shift()!(),
    get written() {
      return written;
    },
  };
}

test('the next heartbeat is written when the last one has come back', async () => {
  const facts = server();
  await facts.beat();
  facts.heartbeat.received('walwatch:heartbeat:another');
  await facts.beat();
  expect(facts.written).toBe(1);
  facts.heartbeat.received(prefix);
  await facts.beat();
  expect(facts.written).toBe(2);
});

test('a heartbeat that the server has passed but not sent back ends the connection', async () => {
  const { beat } = server();
  await beat();
  await beat({ write: parseLsn('0/63') });
  await expect(beat({ write: parseLsn('0/64') })).rejects.toMatchObject({
    code: 'CONNECTION',
    message: expect.stringContaining('has passed it'),
  });
});

test('a query without an answer for two heartbeats ends the connection, even while reading is paused', async () => {
  for (const paused of [false, true]) {
    const { beat, isSilent } = server();
    isSilent();
    void beat();
    const stream = { paused, silence: paused ? 0 : 10_000 };
    await beat(stream);
    await expect(beat(stream)).rejects.toMatchObject({
      code: 'CONNECTION',
      message: 'a heartbeat could not be written: the server has not answered for 10000 ms',
    });
  }
});

test('while the stream delivers data, a query without an answer does not end the connection', async () => {
  const { beat, isSilent } = server();
  isSilent();
  void beat();
  for (let missed = 0; missed < 10; missed++) await beat({ silence: 500 });
  await expect(beat({ silence: 10_000 })).rejects.toMatchObject({ code: 'CONNECTION' });
});

test('very short heartbeats allow for a hiccup of the network', async () => {
  const heartbeat = new Heartbeat('worker', 100, timeout);
  const session = { use: () => new Promise<never>(() => {}) };
  const beat = () => heartbeat.beat(session, { paused: false, write: 0n, silence: 60_000 });
  void beat();
  for (let missed = 1; missed < 20; missed++) await beat();
  await expect(beat()).rejects.toMatchObject({ code: 'CONNECTION' });
});

test('a heartbeat behind a large transaction is waited for: while data arrives, and while reading is paused', async () => {
  const { beat } = server();
  await beat();
  for (let missed = 0; missed < 100; missed++) {
    await beat({ silence: timeout - 1 }); // a walsender that decodes changes it does not send
    await beat({ silence: timeout, paused: true });
    await beat({ write: parseLsn('0/64'), paused: true });
  }
  await expect(beat({ silence: timeout })).rejects.toMatchObject({
    code: 'CONNECTION',
    message: expect.stringContaining('silent for 60000 ms'),
  });
});

test('an answer that arrives after its heartbeat, and after the next one, does not count for the next one', async () => {
  const { heartbeat, beat, isSilent, answer } = server();
  isSilent();
  const first = beat();
  heartbeat.received(prefix);
  void beat();
  answer();
  await first;
  await beat({ write: parseLsn('0/64') });
});

test('no heartbeat is written while reading is paused', async () => {
  const facts = server();
  await facts.beat({ paused: true });
  expect(facts.written).toBe(0);
  await facts.beat();
  expect(facts.written).toBe(1);
});
