/** examples/nats-relay with its three roles as separate processes: the compiled program (`npm run compile`). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { jetstreamManager } from '@nats-io/jetstream';
import { expect, onTestFinished, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { useNats } from '../support/nats.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication } from '../support/watching.ts';

const db = useDatabase();
const nats = useNats();
const name = 'walwatch_example_nats';

function start(role: string) {
  const child = spawn(process.execPath, ['.build/examples/nats-relay/main.js', role], {
    env: { ...process.env, DATABASE_URL: db.url, NATS_URL: nats.url },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  };
  onTestFinished(() => end('SIGKILL'));
  return {
    child,
    end,
    line: (text: string) =>
      until(() => output.includes(text), {
        describe: () => `'${text}' in the output of ${role}:\n${output}`,
      }),
  };
}

test('events reach all roles of the example, and each role ends cleanly', async () => {
  const connection = await nats.connect();
  onTestFinished(async () => {
    await (await jetstreamManager(connection)).streams.delete(name).catch(() => false);
    await dropSlotAndPublication(db, name);
  });
  const roles = ['worker', 'mailer', 'live'].map((role) => ({ role, ...start(role) }));
  for (const { role, line } of roles) await line(`${role}: started`);
  const [, mailer, live] = roles;
  await db.sql(`insert into ${name}.users (email, role_id) values ('ada@example.org', 2)`);
  await mailer!.line('welcome mail to user 1, ada@example.org');
  await db.sql(`update ${name}.users set role_id = 1`);
  await live!.line('user 1 has role 1, before 2');
  await live!.line('user 1 is an admin, or was one');
  for (const { end, child } of roles) {
    await end('SIGTERM');
    expect(child.exitCode).toBe(0);
  }
});
