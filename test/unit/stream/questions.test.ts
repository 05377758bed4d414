import { expect, test } from 'vitest';
import type { Session } from '../../../src/postgres/session.ts';
import { Questions } from '../../../src/stream/questions.ts';
import { deferred } from '../../support/until.ts';

/** A session that answers with its name, each time the test lets it. */
class FakeSession {
  readonly name: string;
  readonly lost = deferred<never>();
  answers = deferred<string>();

  constructor(name: string) {
    this.name = name;
    this.lost.promise.catch(() => {});
  }

  use(): Promise<unknown> {
    return Promise.race([this.answers.promise, this.lost.promise]);
  }

  answer(): void {
    this.answers.resolve(this.name);
    this.answers = deferred();
  }
}

function questions() {
  const sessions = [new FakeSession('first')];
  const released: unknown[] = [];
  const opened = { fails: false };
  const one = new Questions(
    sessions[0] as unknown as Session,
    {
      open: async () => {
        if (opened.fails) throw new Error('too many connections');
        const fresh = new FakeSession('next');
        sessions.push(fresh);
        return fresh as unknown as Session;
      },
      release: (old) => {
        released.push(old);
        (old as unknown as FakeSession).lost.reject(new Error('the connection has ended'));
      },
    },
    500,
  );
  const ask = () => one.use(async () => 'the task');
  const answered = async () => {
    const answer = ask();
    sessions.at(-1)!.answer();
    await answer;
  };
  return { sessions, released, opened, questions: one, ask, answered };
}

test('a question without an answer is asked again when its session is replaced', async () => {
  const { sessions, released, questions: one, ask, answered } = questions();
  await answered();
  const answers = [ask(), ask()];
  await one.renew();
  expect(released).toEqual([sessions[0]]);
  await Promise.resolve();
  sessions[1]!.answer();
  expect(await Promise.all(answers)).toEqual(['next', 'next']);
});

test('an error of the current session is an error', async () => {
  const { sessions, ask } = questions();
  const answer = ask();
  sessions[0]!.lost.reject(new Error('reset'));
  await expect(answer).rejects.toThrow('reset');
});

test('a session that has not answered anything yet is not replaced, and only one is opened at a time', async () => {
  const { sessions, questions: one, ask, answered } = questions();
  await one.renew();
  expect(sessions).toHaveLength(1);
  await answered();
  void ask();
  await Promise.all([one.renew(), one.renew()]);
  await one.renew();
  expect(sessions).toHaveLength(2);
});

test('when no other session can be opened, the current one stays', async () => {
  const { sessions, released, opened, questions: one, ask, answered } = questions();
  await answered();
  opened.fails = true;
  const answer = ask();
  await one.renew();
  sessions[0]!.answer();
  expect(await answer).toBe('first');
  expect(released).toEqual([]);
});

test('it counts as silent only while a question is pending', async () => {
  const { sessions, questions: one, ask } = questions();
  for (let looks = 0; looks < 10; looks++) one.look();
  expect(one.silence.milliseconds).toBe(0);
  const answer = ask();
  for (let looks = 0; looks < 10; looks++) one.look();
  expect(one.silence.milliseconds).toBe(5000);
  sessions[0]!.answer();
  await answer;
  one.look();
  expect(one.silence.milliseconds).toBe(0);
});
