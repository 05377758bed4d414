import { createHash } from 'node:crypto';

/** What browsers and proxies change from one request of the same user to the next. All else may tell who it is. */
const changing = new Set([
  'accept', 'accept-encoding', 'accept-language', 'cache-control', 'cf-connecting-ip', 'cf-ray', 'connection', 'content-length',
  'content-type', 'forwarded', 'last-event-id', 'origin', 'pragma', 'priority', 'referer', 'traceparent', 'tracestate',
  'transfer-encoding', 'via', 'x-amzn-trace-id', 'x-cloud-trace-context', 'x-forwarded-for', 'x-forwarded-port', 'x-real-ip',
  'x-request-id',
]); // prettier-ignore

/**
 * Who a request is from, where the application does not say: the headers, and the path and the parameters of the URL, which
 * are all that `authorize` can tell it by. One header too many makes a client load again, one too few could show it what was another's.
 */
export function identityOf(request: Request): string {
  const headers = [...request.headers].filter(([name]) => !changing.has(name) && !name.startsWith('sec-'));
  const { pathname, searchParams } = new URL(request.url);
  const parameters = [...searchParams].filter(([name]) => name !== 'watch');
  return createHash('sha256')
    .update(JSON.stringify([headers, pathname, parameters]))
    .digest('base64');
}
