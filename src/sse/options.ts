import { type ConfigurationIssue, throwIssues } from '../errors.ts';
import { longestTimeout } from '../options.ts';
import { unknownKeys } from '../option-names.ts';
import type { Watchers } from '../types/watchers.ts';
import type { Authorize, Subscription } from './authorize.ts';
import type { HubSettings } from './hub.ts';

/** Options of `sse()`. */
export interface SseOptions<W extends Watchers = Watchers> {
  /** Called for each subscription of each connection: nothing is served unless it returns true. See `onlyOwn`. */
  readonly authorize: Authorize<Subscription<W>>;
  /** Milliseconds between heartbeats, which show a client that its stream is alive. Default 15 000. */
  readonly heartbeat?: number;
  /** Events kept for `Last-Event-ID`. Default 10 000. */
  readonly replay?: number;
  /** Returns the user of a request, so that `connections` can limit each user. If it returns undefined or null, nothing is
   *  served. Default: no limit per user. */
  readonly principal?: (request: Request) => Principal | Promise<Principal>;
  /** Open connections of one principal. Default 20. */
  readonly connections?: number;
  /** Subscriptions of one connection. Further ones are refused; the others work. Default 100. */
  readonly subscriptions?: number;
  /** Bytes that may wait for one client. If more are waiting, the connection is closed. Default 1 MiB. */
  readonly clientBuffer?: number;
  /** Milliseconds until a connection is ended, so that the client reconnects and `authorize` is called again. Default: one hour. */
  readonly maxAge?: number;
  /** Origins of other sites that may read: `['https://app.example.org']`. Default: none. */
  readonly cors?: readonly string[];
}

type Principal = string | number | bigint | null | undefined;

const defaults = {
  heartbeat: 15_000,
  replay: 10_000,
  connections: 20,
  subscriptions: 100,
  clientBuffer: 1024 * 1024,
  maxAge: 3_600_000,
};
export type Settings = HubSettings & Pick<typeof defaults, 'connections' | 'subscriptions'>;
export type AnyOptions = Partial<SseOptions<any>>;

/** @throws ConfigurationError with every problem at once */
export function resolve(given: AnyOptions): Settings {
  const issues: ConfigurationIssue[] = [];
  const issue = (message: string, solution: string) => issues.push({ message: `sse: ${message}`, solution });
  const known = ['authorize', 'principal', 'cors', ...Object.keys(defaults)];
  unknownKeys(given, known, 'sse option', issues);
  const whole = (name: keyof typeof defaults, least: number, most: number) => {
    const value = given[name] ?? defaults[name];
    if (!Number.isInteger(value) || value < least || value > most)
      issue(`${name} must be a whole number from ${least} to ${most}`, `Default: ${defaults[name]}.`);
    return value;
  };
  for (const name of ['authorize', 'principal'] as const) {
    if (given[name] !== undefined && typeof given[name] !== 'function')
      issue(`${name} must be a function`, `${name}: (request) => …`);
  }
  if (given.connections !== undefined && given.principal === undefined)
    issue('connections needs principal', 'Add principal: (request) => userOf(request)?.id');
  if (given.cors !== undefined && !(Array.isArray(given.cors) && given.cors.every(isOrigin)))
    issue('cors must be a list of origins', "cors: ['https://app.example.org']");
  const settings = {
    heartbeat: whole('heartbeat', 1, longestTimeout),
    replay: whole('replay', 0, 10_000_000),
    connections: whole('connections', 1, Number.MAX_SAFE_INTEGER),
    subscriptions: whole('subscriptions', 1, 10_000),
    clientBuffer: whole('clientBuffer', 1024, Number.MAX_SAFE_INTEGER),
    maxAge: whole('maxAge', 1, longestTimeout),
  };
  throwIssues(issues);
  return settings;
}

const isOrigin = (given: unknown) =>
  typeof given === 'string' && URL.canParse(given) && new URL(given).origin === given;
