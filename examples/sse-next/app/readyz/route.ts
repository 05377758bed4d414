import { getWatch } from '../../watch.ts';

export const runtime = 'nodejs';
export const dynamic = 'force-dynamic';

/** A standby is ready, and answers /live with 503 until it takes over. */
export function GET(): Response {
  const health = getWatch().health();
  return Response.json(health, { status: health.ready ? 200 : 503 });
}
