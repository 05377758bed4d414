/** A handler of `sse()` on a watch whose events the test makes up. Everything is allowed unless the test restricts it. */
import { sse, type SseOptions } from '../../src/sse/index.ts';
import { type FakeWatch, fakeWatch, type watchers } from './fake-watch.ts';

export function live(options: Partial<SseOptions<typeof watchers>> = {}): {
  readonly fake: FakeWatch;
  readonly handler: (request: Request) => Promise<Response>;
} {
  const fake = fakeWatch();
  return { fake, handler: sse(fake.watch, { authorize: () => true, ...options }) };
}

export const everyone = [['users:updated']];

/** Of the changes received. */
export const ids = (stream: { messages: readonly { type: string; lastEventId: string }[] }): readonly string[] =>
  stream.messages.filter(({ type }) => type === 'message').map(({ lastEventId }) => lastEventId);
