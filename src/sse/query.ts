import { isScalar, type Scalar } from '../routing/keys.ts';

/** One subscription that a client asks for, in form: whether there is such a watcher is another question. */
export interface Asked {
  readonly watcher: string;
  /** Undefined: all rows. */
  readonly filter: Scalar | Readonly<Record<string, Scalar>> | undefined;
  /** The id of the last event that this subscription has seen; undefined when it begins now. */
  readonly after: string | undefined;
}

/** What is wrong with a request: its text is for whoever wrote the client. */
export class BadRequest extends Error {}

const longestQuery = 16_384;
const mostSubscriptions = 100;
const example = '?watch=[["users:updated",42],["users:deleted",{"role_id":7}],["users:inserted"]]';

/**
 * Reads `watch`, a JSON list of `[watcher]`, `[watcher, filter]` or `[watcher, filter or null, after]`. Parameters of other
 * names are the application's.
 * @throws BadRequest
 */
export function readQuery(url: string): Asked[] {
  const { search, searchParams } = new URL(url);
  if (search.length > longestQuery) throw new BadRequest(`the query is longer than ${longestQuery} characters`);
  const [text, ...more] = searchParams.getAll('watch');
  if (text === undefined) throw new BadRequest(`the parameter 'watch' is missing: ${example}`);
  if (more.length > 0) throw new BadRequest(`the parameter 'watch' is given ${more.length + 1} times: once, as a list`);
  const list = parse(text);
  if (!Array.isArray(list) || list.length === 0)
    throw new BadRequest(`'watch' is a list of subscriptions, one or more: ${example}`);
  if (list.length > mostSubscriptions)
    throw new BadRequest(`'watch' has ${list.length} subscriptions: ${mostSubscriptions} at most on one connection`);
  const problems: string[] = [];
  const asked = list.flatMap((entry: unknown, index) => {
    const read = readEntry(entry);
    if (typeof read !== 'string') return [read];
    problems.push(`'watch', entry ${index}: ${read}`);
    return [];
  });
  if (problems.length > 0) throw new BadRequest(problems.join('\n'));
  return asked;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BadRequest(`'watch' is not JSON: ${(error as Error).message}. For example ${example}`, { cause: error });
  }
}

function readEntry(entry: unknown): Asked | string {
  if (!Array.isArray(entry) || entry.length < 1 || entry.length > 3) return 'not [watcher, filter?, after?]';
  const [watcher, filter = null, after] = entry as readonly unknown[];
  if (typeof watcher !== 'string') return 'the watcher is not a string';
  if (after !== undefined && typeof after !== 'string') return "'after' is the id of an event, a string";
  if (filter === null) return { watcher, filter: undefined, after };
  if (Array.isArray(filter)) return 'the filter is a list: an id, or { column: value }';
  const values = typeof filter === 'object' ? Object.values(filter) : [filter];
  if (!values.every(isScalar)) return 'the filter holds a value that is no string, number, boolean or null';
  if (!values.every(isExact)) return 'a number of the filter is too large for JSON: write it as a string';
  return { watcher, filter: filter as Exclude<Asked['filter'], undefined>, after };
}

/** JSON.parse rounds what a double cannot hold: that would be another id. */
const isExact = (value: unknown) =>
  typeof value !== 'number' || (Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER);
