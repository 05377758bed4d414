import { createHash } from 'node:crypto';

/** Headers that browsers and proxies change between requests of the same user. Any other header may identify the user. */
const changing = new Set([
  'accept', 'accept-encoding', 'accept-language', 'cache-control', 'cf-connecting-ip', 'cf-ray', 'connection', 'content-length',
  'content-type', 'forwarded', 'last-event-id', 'origin', 'pragma', 'priority', 'referer', 'traceparent', 'tracestate',
  'transfer-encoding', 'via', 'x-amzn-trace-id', 'x-cloud-trace-context', 'x-forwarded-for', 'x-forwarded-port', 'x-real-ip',
  'x-request-id',
]); // prettier-ignore

/**
 * Identifies the sender of a request without `principal`: by headers, path and parameters, which are all that `authorize` can
 * use as well. A header too many makes a client load again. A header too few could show it another user's changes.
 */
export function identityOf(request: Request): string {
  const headers = [...request.headers].filter(([name]) => !changing.has(name) && !name.startsWith('sec-'));
  const { pathname, searchParams } = new URL(request.url);
  const parameters = [...searchParams].filter(([name]) => name !== 'watch');
  return createHash('sha256')
    .update(JSON.stringify([headers, pathname, parameters]))
    .digest('base64');
}
