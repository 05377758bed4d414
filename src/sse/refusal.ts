import type { Refusal } from './query.ts';

/** Refusals with the same reason. `for` contains their positions in the request. */
interface Group extends Omit<Refusal, 'index'> {
  readonly for: number[];
}

const encoder = new TextEncoder();

/** The messages that name the subscriptions that are not served, and the reasons. */
export const refusedMessages = (refused: readonly Refusal[]): Uint8Array[] =>
  grouped(refused).map((group) => encoder.encode(`event: refused\ndata: ${JSON.stringify(group)}\n\n`));

/**
 * The answer when no subscription of a request is served. A client that accepts JSON gets JSON, which names the subscriptions
 * of each reason. Others get text, as for any other refusal.
 */
export function refusedAnswer(refused: readonly Refusal[], accept: string | null): Response {
  const status = refused.some(({ code }) => code === 'DENIED') ? 403 : 400;
  const groups = grouped(refused);
  return accept?.includes('application/json')
    ? refusal(status, JSON.stringify({ refused: groups }), { 'content-type': 'application/json' })
    : refusal(status, groups.map(({ reason }) => reason).join('\n'));
}

export function refusal(status: number, reason: string, headers: Record<string, string> = {}): Response {
  return new Response(`${reason}\n`, {
    status,
    headers: {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'private, no-store',
      'x-content-type-options': 'nosniff',
      ...headers,
    },
  });
}

const longestReason = 500;

function grouped(refused: readonly Refusal[]): readonly Group[] {
  const groups = new Map<string, Group>();
  for (const { index, code, reason } of refused) {
    // A reason repeats what the client sent, which may be long.
    const text = reason.length > longestReason ? `${reason.slice(0, longestReason)}…` : reason;
    const there = groups.get(text);
    if (there) there.for.push(index);
    else groups.set(text, { for: [index], code, reason: text });
  }
  return [...groups.values()];
}
