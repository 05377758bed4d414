import type { Refusal } from './query.ts';

/** Those that share a reason; `for` are their places in the request. */
interface Group extends Omit<Refusal, 'index'> {
  readonly for: number[];
}

const encoder = new TextEncoder();

/** The events that tell a client which of its subscriptions are not served, and why. */
export const refusedMessages = (refused: readonly Refusal[]): Uint8Array[] =>
  grouped(refused).map((group) => encoder.encode(`event: refused\ndata: ${JSON.stringify(group)}\n\n`));

/**
 * The answer when nothing of a request is served: JSON for a client that accepts it, so that it knows which reason concerns
 * which subscription; else text, as any other refusal.
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
    // It names what the client sent, which may be long.
    const text = reason.length > longestReason ? `${reason.slice(0, longestReason)}…` : reason;
    const there = groups.get(text);
    if (there) there.for.push(index);
    else groups.set(text, { for: [index], code, reason: text });
  }
  return [...groups.values()];
}
