import { isScalar, type Scalar } from '../routing/keys.ts';

/** A well-formed subscription of a request. Whether the watcher exists is checked later. */
export interface Asked {
  /** Its position in the request, which identifies it to the client. */
  readonly index: number;
  readonly watcher: string;
  /** Undefined: all rows. */
  readonly filter: Scalar | Readonly<Record<string, Scalar>> | undefined;
  /** The id of the last event that this subscription has seen; undefined when it begins now. */
  readonly after: string | undefined;
}

/** A subscription that is not served; the others are. `INVALID`: malformed. `LIMIT`: too many. */
export interface Refusal {
  readonly index: number;
  readonly code: 'INVALID' | 'UNKNOWN' | 'DENIED' | 'LIMIT';
  readonly reason: string;
}

export interface Question {
  readonly asked: readonly Asked[];
  readonly refused: readonly Refusal[];
}

/** The whole request is malformed. The message is for the author of the client. */
export class BadRequest extends Error {
  readonly status: 400 | 413 | 415;
  constructor(message: string, { status = 400, cause }: { status?: 400 | 413 | 415; cause?: unknown } = {}) {
    super(message, { cause });
    this.status = status;
  }
}

const longestQuery = 16_384;
/** Bytes of a POST request. */
export const largestBody = 262_144;
const example = '?watch=[["users:updated",42],["users:deleted",{"role_id":7}],["users:inserted"]]';
const exampleBody = '{"watch":[["users:updated",42],["users:inserted"]]}';

/**
 * Reads the parameter `watch` of a URL, a JSON list of `[watcher]`, `[watcher, filter]` or `[watcher, filter or null, after]`.
 * Parameters of other names are the application's.
 * @throws BadRequest
 */
export function readQuery(url: string, most: number): Question {
  const { search, searchParams } = new URL(url);
  if (search.length > longestQuery)
    throw new BadRequest(`the query is longer than ${longestQuery} characters: send it as a POST: ${exampleBody}`);
  const [text, ...more] = searchParams.getAll('watch');
  if (text === undefined) throw new BadRequest(`the parameter 'watch' is missing: ${example}`);
  if (more.length > 0)
    throw new BadRequest(`the parameter 'watch' occurs ${more.length + 1} times: send it once, as a list`);
  return readList(parse(text, 'watch', example), most, example);
}

/**
 * Reads the same list from the JSON body of a POST request, which may be longer than a URL.
 * @throws BadRequest
 */
export async function readBody(request: Request, most: number): Promise<Question> {
  // A form of another site cannot send JSON without a CORS preflight.
  if (!/^application\/json\b/i.test(request.headers.get('content-type') ?? ''))
    throw new BadRequest(`a POST needs the content-type application/json and a body such as ${exampleBody}`, {
      status: 415,
    });
  const body = parse(await boundedText(request), 'the body', exampleBody);
  return readList((body as { watch?: unknown } | null)?.watch, most, exampleBody);
}

async function boundedText({ headers, body }: Request): Promise<string> {
  const tooLarge = () => new BadRequest(`the body is larger than ${largestBody} bytes`, { status: 413 });
  if (Number(headers.get('content-length')) > largestBody) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = body?.getReader();
  while (reader) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      throw new BadRequest('the body ended too early', { cause });
    });
    if (done) break;
    chunks.push(value);
    if ((size += value.length) > largestBody) {
      void reader.cancel().catch(() => {}); // an error does not matter: the body is not used
      throw tooLarge();
    }
  }
  return Buffer.concat(chunks).toString();
}

/** Reads at most `most` entries: each costs a lookup and a call of `authorize`. */
function readList(list: unknown, most: number, like: string): Question {
  if (!Array.isArray(list) || list.length === 0)
    throw new BadRequest(`'watch' must be a list of one or more subscriptions: ${like}`);
  const asked: Asked[] = [];
  const refused: Refusal[] = [];
  for (const [index, entry] of list.entries()) {
    if (index >= most) {
      refused.push({ index, code: 'LIMIT', reason: `a connection may have at most ${most} subscriptions` });
      continue;
    }
    const read = readEntry(entry);
    if (typeof read === 'string') refused.push({ index, code: 'INVALID', reason: `'watch', entry ${index}: ${read}` });
    else asked.push({ index, ...read });
  }
  return { asked, refused };
}

function parse(text: string, what: string, like: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new BadRequest(`${what} is not JSON: ${(cause as Error).message}. For example ${like}`, { cause });
  }
}

function readEntry(entry: unknown): Omit<Asked, 'index'> | string {
  if (!Array.isArray(entry) || entry.length < 1 || entry.length > 3) return 'not [watcher, filter?, after?]';
  const [watcher, filter = null, after] = entry as readonly unknown[];
  if (typeof watcher !== 'string') return 'the watcher is not a string';
  if (after !== undefined && typeof after !== 'string') return "'after' must be a string, the id of an event";
  if (filter === null) return { watcher, filter: undefined, after };
  if (Array.isArray(filter)) return 'the filter is a list; expected an id or { column: value }';
  const values = typeof filter === 'object' ? Object.values(filter) : [filter];
  if (!values.every(isScalar)) return 'the filter contains a value that is not a string, number, boolean or null';
  if (!values.every(isExact)) return 'a number in the filter is too large for JSON: send it as a string';
  return { watcher, filter: filter as Exclude<Asked['filter'], undefined>, after };
}

/** JSON.parse rounds numbers that a double cannot hold: the result would be another id. */
const isExact = (value: unknown) =>
  typeof value !== 'number' || (Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER);
