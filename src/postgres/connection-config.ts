import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { ClientConfig } from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import { type ConfigurationIssue, shown, thrownText, WatchError } from '../errors.ts';
import { aliasIssues, foreignIssue } from './foreign-connection.ts';
import { urlOfKeywords } from './keyword-dsn.ts';

const example = 'postgres://user:password@host:5432/database';
const kind = 'connection is a URL or an object of node-postgres';

/** pg's configuration. A client has the same settings as properties, but walwatch opens sessions of its own. */
export interface ConnectionConfig extends ClientConfig {
  readonly connect?: 'pass the settings of the client, not the client';
  readonly query?: 'pass the settings of the client, not the client';
}

/** `connection` as node-postgres takes it, without a URL. No issue ever shows a password. */
export function resolveConnection(given: unknown, issues: ConfigurationIssue[]): ClientConfig {
  const foreign = foreignIssue(given);
  if (foreign) {
    issues.push(foreign);
    return {};
  }
  if (typeof given !== 'string' && (typeof given !== 'object' || given === null)) {
    issues.push({ message: `${kind}, not ${shown(given)}`, solution: example });
    return {};
  }
  // Split here, as pg would do later, because pg lets the URL win over the settings that walwatch adds to it.
  const { connectionString, ...own } =
    typeof given === 'string' ? { connectionString: given } : (given as ClientConfig);
  if (given instanceof URL) {
    issues.push({ message: `${kind}, not a URL object`, solution: 'Pass it as a string: url.href' });
    return {};
  }
  if (connectionString !== undefined && typeof connectionString !== 'string') {
    issues.push({ message: 'connection.connectionString is not a string', solution: example });
    return own;
  }
  const config = connectionString ? { ...own, ...parseUrl(connectionString, issues) } : own;
  issues.push(
    ...aliasIssues(typeof given === 'string' ? {} : given),
    ...hostIssues(config),
    ...misplacedIssues(config),
    ...passwordIssues(config),
  );
  return typeof config.password === 'function' ? { ...config, password: checked(config.password) } : config;
}

/** Empty when there are issues. */
function parseUrl(url: string, issues: ConfigurationIssue[]): ClientConfig {
  const issue = urlIssue(url) ?? fileIssue(url);
  if (issue) {
    issues.push(issue);
    return {};
  }
  try {
    return parseIntoClientConfig(url);
  } catch {
    issues.push(unreadable); // the parser's own message may repeat the URL, and with it the password
    return {};
  }
}

const unreadable: ConfigurationIssue = {
  message: 'connection is not a URL that node-postgres can read',
  solution: `Expected ${example}. Percent-encode special characters of user and password: encodeURIComponent(password).`,
};

/** node-postgres takes anything for a URL, and connects to a host that nobody named. */
function urlIssue(url: string): ConfigurationIssue | undefined {
  const trimmed = url.trim();
  const socket = /^(socket:\/|\/(?!\/))/i.exec(trimmed)?.[0]; // the directory of a Unix socket, and perhaps a database
  if (socket !== undefined) return /:[^]*@/.test(trimmed.slice(socket.length)) ? unreadable : undefined;
  if (/^\w+\s*=/.test(trimmed)) {
    return {
      message: 'connection consists of keywords and values, as libpq takes them; walwatch takes a URL',
      solution: `Write it as a URL: ${urlOfKeywords(trimmed) ?? example}`,
    };
  }
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(trimmed)?.[1];
  if (!/^postgres(ql)?:\/\//i.test(trimmed)) {
    // What comes before the first colon may be shown: it is the scheme, or the host or user of a URL without one.
    const begins = scheme === undefined ? '' : `, but with ${shown(`${scheme}:`)}`;
    return { message: `connection does not begin with postgres://${begins}`, solution: `Expected ${example}` };
  }
  if (isTornApart(trimmed)) return unreadable;
  // An @ further on would make it part of a password.
  const [, user, authority = ''] = /^\w+:\/\/([^/?#]*@)?([^/?#@]*)(?![^@]*@)/.exec(trimmed) ?? [];
  if (!authority.includes(',')) return undefined;
  // What looks like a host and its port may be a user and a password, without a host.
  return severalHosts(user === undefined && authority.includes(':') ? '?' : authority);
}

/** Parameters whose values may hold an `@`. */
const withAt = /^(user|password|sslpassword|options|(fallback_)?application_name|ssl(root)?cert|sslkey)=/;

/**
 * A password with `/`, `?` or `#` ends what URLs take for the host: its first part would become the host's port, the rest
 * a database or a parameter, and both would be shown.
 */
function isTornApart(url: string): boolean {
  if (url.includes('#')) return true;
  const [, path = '', query = ''] = /^\w+:\/\/[^/?]*([^?]*)(.*)$/s.exec(url) ?? [];
  const parameters = query.slice(1).split('&');
  return path.includes('@') || parameters.some((one) => one.includes('@') && !withAt.test(one));
}

/** A connection string, or a part of one with a password, in the place of another setting: it would be shown as that. */
function misplacedIssues({ host = env('PGHOST'), database = env('PGDATABASE'), user = env('PGUSER') }: ClientConfig) {
  const wrong = Object.entries({ host, database, user }).filter(
    ([name, value]) => typeof value === 'string' && (name === 'host' ? noHost : connectionString).test(value),
  );
  return wrong.map(([name]): ConfigurationIssue => ({
    message: `${name} of connection is not the name of a ${name}, but looks like a connection string`,
    solution: `Give each setting on its own: { host, port, user, password, database }; or all as a URL: ${example}`,
  }));
}

/**
 * Where nothing names a server node-postgres takes that of this machine, and a database with the name of the system's user. Who wants
 * just that gives an object without these settings.
 */
export function unnamedServer(given: unknown, config: ClientConfig): ConfigurationIssue[] {
  const settings = ['host', 'port', 'user', 'database'] as const;
  if (settings.some((name) => config[name] || env(`PG${name.toUpperCase()}`))) return [];
  // One that is there without a value was meant to name something.
  const named = [...settings, 'password', 'connectionString'];
  if (typeof given === 'object' && given !== null && !named.some((name) => name in given)) return [];
  return [
    {
      message: 'no server is named: there is no `connection`, and neither DATABASE_URL nor PGHOST is set',
      solution: `Pass connection: '${example}', or set DATABASE_URL. Node reads a file of variables with --env-file=.env.`,
    },
  ];
}

const connectionString = /:\/\/|:[^]*@|password\s*=/i;
/** A path, as of a Unix socket, may hold what a name may not. */
const noHost = /^(?!\/)[^]*[@\s=?#]|^\/\/|:\/\/|:[^]*@|password\s*=/i;

function env(name: string): string | undefined {
  return process.env[name];
}

/** A slot is on one server, and node-postgres connects to one. */
function severalHosts(hosts: string): ConfigurationIssue {
  const named = /^[\w.-]*(:\d+)?(,[\w.-]*(:\d+)?)*$/.test(hosts) ? `: ${shown(hosts)}` : '';
  return {
    message: `connection names several hosts${named}; walwatch connects to one`,
    solution: 'Name the primary, or an address that always leads to it (DNS name, virtual IP, load balancer).',
  };
}

function hostIssues({ host = process.env['PGHOST'] }: ClientConfig): ConfigurationIssue[] {
  return typeof host === 'string' && host.includes(',') && !host.startsWith('/') ? [severalHosts(host)] : [];
}

/** Its type is shown, never its value. */
function passwordIssues({ password }: { readonly password?: unknown }): ConfigurationIssue[] {
  if (password === undefined || password === null || typeof password === 'string' || typeof password === 'function')
    return [];
  return [
    {
      message: `connection.password is a ${typeof password}`,
      solution: 'Give a string, or a function that returns one.',
    },
  ];
}

/** Says what is wrong with the password that a function returns; pg would say it of the protocol. */
function checked(password: (...parameters: unknown[]) => unknown): () => Promise<string> {
  return async (...parameters: unknown[]) => {
    let given: unknown;
    try {
      given = await password(...parameters);
    } catch (cause) {
      throw new WatchError('AUTHENTICATION', `the password function of connection failed: ${thrownText(cause)}`, {
        solution: 'walwatch tries again. Look at what the function calls, such as a token service.',
        retry: 'slowly',
        cause,
      });
    }
    if (typeof given === 'string' && given !== '') return given;
    const what =
      given === '' ? 'an empty string' : given === undefined ? 'undefined' : `a value of type ${typeof given}`;
    throw new WatchError('AUTHENTICATION', `the password function of connection returned ${what}, not a password`, {
      solution: 'Let it return a string, or throw when it has none.',
    });
  };
}

/** Parameters of a URL that name files, and what their content becomes in the options of TLS. */
const files = { sslrootcert: 'ca', sslcert: 'cert', sslkey: 'key' } as const;

/** A file that the URL names can be read, and certificate and key fit together. */
function fileIssue(url: string): ConfigurationIssue | undefined {
  if (!URL.canParse(url)) return undefined;
  try {
    createSecureContext(readFiles(Object.fromEntries(new URL(url).searchParams)));
    return undefined;
  } catch (error) {
    if (error instanceof WatchError)
      return { message: error.message, solution: 'Check the path, and that this process may read it.' };
    return {
      message: `sslcert and sslkey of connection cannot be used: ${(error as Error).message}`,
      solution: 'sslcert is a certificate in PEM form, and sslkey its private key, without a passphrase.',
    };
  }
}

function readFiles(parameters: object): Partial<Record<'ca' | 'cert' | 'key', string>> {
  const contents: Partial<Record<'ca' | 'cert' | 'key', string>> = {};
  for (const [parameter, option] of Object.entries(files)) {
    const path = (parameters as Record<string, unknown>)[parameter];
    if (typeof path === 'string' && path !== '') contents[option] = readFile(parameter, path);
  }
  return contents;
}

function readFile(parameter: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as { code?: unknown };
    throw new WatchError(
      'TLS',
      // Without the path: where a password has special characters, a part of it can be there.
      `the file of ${parameter} in connection cannot be read: ${String(code)}`,
      {
        solution: 'walwatch tries again. Check the path, and that this process may read it.',
        retry: 'slowly',
        cause,
      },
    );
  }
}

/**
 * The same with its certificates as they are now: they are replaced while a worker runs, and pg reads them once.
 * @throws WatchError TLS when a file cannot be read
 */
export function withCertificates(connection: ClientConfig): ClientConfig {
  const { ssl } = connection;
  if (typeof ssl !== 'object' || ssl === null) return connection;
  const contents = readFiles(connection);
  return Object.keys(contents).length === 0 ? connection : { ...connection, ssl: { ...ssl, ...contents } };
}
