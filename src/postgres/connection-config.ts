import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { ClientConfig } from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import { type ConfigurationIssue, shown, thrownText, WatchError } from '../errors.ts';
import { aliasIssues, foreignIssue } from './foreign-connection.ts';
import { urlOfKeywords } from './keyword-dsn.ts';

const example = 'postgres://user:password@host:5432/database';
const kind = 'connection must be a URL or an object of node-postgres';

/** pg's configuration. A client has the same properties, but walwatch opens its own sessions. */
export interface ConnectionConfig extends ClientConfig {
  readonly connect?: 'pass the settings of the client, not the client';
  readonly query?: 'pass the settings of the client, not the client';
}

/** Normalizes `connection` to pg's settings, without a URL. No issue shows a password. */
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
  // Parsed here and not in pg, because pg would let the URL override the settings that walwatch adds.
  const { connectionString, ...own } =
    typeof given === 'string' ? { connectionString: given } : (given as ClientConfig);
  if (given instanceof URL) {
    issues.push({ message: `${kind}, not a URL object`, solution: 'Pass it as a string: url.href' });
    return {};
  }
  if (connectionString !== undefined && typeof connectionString !== 'string') {
    issues.push({ message: 'connection.connectionString must be a string', solution: example });
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

/** Returns an empty object if there are issues. */
function parseUrl(url: string, issues: ConfigurationIssue[]): ClientConfig {
  const issue = urlIssue(url) ?? fileIssue(url);
  if (issue) {
    issues.push(issue);
    return {};
  }
  try {
    return parseIntoClientConfig(url);
  } catch {
    issues.push(unreadable); // the parser's message may contain the URL, and so the password
    return {};
  }
}

const unreadable: ConfigurationIssue = {
  message: 'connection is not a URL that node-postgres can read',
  solution: `Expected ${example}. Percent-encode special characters of user and password: encodeURIComponent(password).`,
};

/** node-postgres accepts any text as a URL, and would connect to a host that the user did not mean. */
function urlIssue(url: string): ConfigurationIssue | undefined {
  const trimmed = url.trim();
  const socket = /^(socket:\/|\/(?!\/))/i.exec(trimmed)?.[0]; // the directory of a Unix socket, with or without a database
  if (socket !== undefined) return /:[^]*@/.test(trimmed.slice(socket.length)) ? unreadable : undefined;
  if (/^\w+\s*=/.test(trimmed)) {
    return {
      message: 'connection consists of keywords and values, as in libpq; walwatch needs a URL',
      solution: `Write it as a URL: ${urlOfKeywords(trimmed) ?? example}`,
    };
  }
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(trimmed)?.[1];
  if (!/^postgres(ql)?:\/\//i.test(trimmed)) {
    // The text before the first colon may be shown: it is the scheme, or the host or user of a URL without a scheme.
    const begins = scheme === undefined ? '' : `, but with ${shown(`${scheme}:`)}`;
    return { message: `connection does not begin with postgres://${begins}`, solution: `Expected ${example}` };
  }
  if (isTornApart(trimmed)) return unreadable;
  // An @ further on would make this part of a password.
  const [, user, authority = ''] = /^\w+:\/\/([^/?#]*@)?([^/?#@]*)(?![^@]*@)/.exec(trimmed) ?? [];
  if (!authority.includes(',')) return undefined;
  // What looks like host and port may be user and password, without a host.
  return severalHosts(user === undefined && authority.includes(':') ? '?' : authority);
}

/** Parameters whose values may contain an `@`. */
const withAt = /^(user|password|sslpassword|options|(fallback_)?application_name|ssl(root)?cert|sslkey)=/;

/**
 * Whether an unescaped `/`, `?` or `#` in the password splits the URL at the wrong place: the start of the password would become the
 * port, the rest a database or a parameter, and both would be shown.
 */
function isTornApart(url: string): boolean {
  if (url.includes('#')) return true;
  const [, path = '', query = ''] = /^\w+:\/\/[^/?]*([^?]*)(.*)$/s.exec(url) ?? [];
  const parameters = query.slice(1).split('&');
  return path.includes('@') || parameters.some((one) => one.includes('@') && !withAt.test(one));
}

/** A connection string, or a part of one with a password, that was given for another setting. It would be shown there. */
function misplacedIssues({ host = env('PGHOST'), database = env('PGDATABASE'), user = env('PGUSER') }: ClientConfig) {
  const wrong = Object.entries({ host, database, user }).filter(
    ([name, value]) => typeof value === 'string' && (name === 'host' ? noHost : connectionString).test(value),
  );
  return wrong.map(([name]): ConfigurationIssue => ({
    message: `${name} of connection must be the name of a ${name}, but looks like a connection string`,
    solution: `Give each setting separately: { host, port, user, password, database }. Or give all of them as a URL: ${example}`,
  }));
}

/**
 * If no setting names a server, node-postgres connects to localhost, and to a database with the name of the operating system's user.
 * To get that on purpose, pass an object without these settings.
 */
export function unnamedServer(given: unknown, config: ClientConfig): ConfigurationIssue[] {
  const settings = ['host', 'port', 'user', 'database'] as const;
  if (settings.some((name) => config[name] || env(`PG${name.toUpperCase()}`))) return [];
  // A setting that is present without a value was meant to have one.
  const named = [...settings, 'password', 'connectionString'];
  if (typeof given === 'object' && given !== null && !named.some((name) => name in given)) return [];
  return [
    {
      message: 'no server is named: `connection` is missing, and neither DATABASE_URL nor PGHOST is set',
      solution: `Pass connection: '${example}', or set DATABASE_URL. Node loads variables from a file with --env-file=.env.`,
    },
  ];
}

const connectionString = /:\/\/|:[^]*@|password\s*=/i;
/** A path, such as that of a Unix socket, may contain characters that a host name may not. */
const noHost = /^(?!\/)[^]*[@\s=?#]|^\/\/|:\/\/|:[^]*@|password\s*=/i;

function env(name: string): string | undefined {
  return process.env[name];
}

/** A slot exists on one server, and node-postgres connects to one host. */
function severalHosts(hosts: string): ConfigurationIssue {
  const named = /^[\w.-]*(:\d+)?(,[\w.-]*(:\d+)?)*$/.test(hosts) ? `: ${shown(hosts)}` : '';
  return {
    message: `connection names several hosts${named}; walwatch connects to one`,
    solution: 'Name the primary, or an address that always points to it (DNS name, virtual IP, load balancer).',
  };
}

function hostIssues({ host = process.env['PGHOST'] }: ClientConfig): ConfigurationIssue[] {
  return typeof host === 'string' && host.includes(',') && !host.startsWith('/') ? [severalHosts(host)] : [];
}

/** Shows the type of the password, never its value. */
function passwordIssues({ password }: { readonly password?: unknown }): ConfigurationIssue[] {
  if (password === undefined || password === null || typeof password === 'string' || typeof password === 'function')
    return [];
  return [
    {
      message: `connection.password must be a string or a function, not a ${typeof password}`,
      solution: 'Pass a string, or a function that returns one.',
    },
  ];
}

/** Reports a wrong password function as such. pg would report a protocol error. */
function checked(password: (...parameters: unknown[]) => unknown): () => Promise<string> {
  return async (...parameters: unknown[]) => {
    let given: unknown;
    try {
      given = await password(...parameters);
    } catch (cause) {
      throw new WatchError('AUTHENTICATION', `the password function of connection failed: ${thrownText(cause)}`, {
        solution: 'walwatch tries again. Check what the function calls, such as a token service.',
        retry: 'slowly',
        cause,
      });
    }
    if (typeof given === 'string' && given !== '') return given;
    const what =
      given === '' ? 'an empty string' : given === undefined ? 'undefined' : `a value of type ${typeof given}`;
    throw new WatchError('AUTHENTICATION', `the password function of connection returned ${what}, not a password`, {
      solution: 'Make it return a string, or throw if it has none.',
    });
  };
}

/** URL parameters that name files, and the TLS options that get their content. */
const files = { sslrootcert: 'ca', sslcert: 'cert', sslkey: 'key' } as const;

/** Checks that the files in the URL can be read, and that certificate and key match. */
function fileIssue(url: string): ConfigurationIssue | undefined {
  if (!URL.canParse(url)) return undefined;
  try {
    createSecureContext(readFiles(Object.fromEntries(new URL(url).searchParams)));
    return undefined;
  } catch (error) {
    if (error instanceof WatchError)
      return { message: error.message, solution: 'Check the path, and that this process is allowed to read it.' };
    return {
      message: `sslcert and sslkey of connection cannot be used: ${(error as Error).message}`,
      solution: 'sslcert must be a certificate in PEM format, and sslkey its private key, without a passphrase.',
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
      // Without the path: if the password has special characters, a part of it may end up there.
      `the file of ${parameter} in connection cannot be read: ${String(code)}`,
      {
        solution: 'walwatch tries again. Check the path, and that this process is allowed to read it.',
        retry: 'slowly',
        cause,
      },
    );
  }
}

/**
 * Reads the certificates again: they are replaced while a worker runs, but pg reads them only once.
 * @throws WatchError TLS if a file cannot be read
 */
export function withCertificates(connection: ClientConfig): ClientConfig {
  const { ssl } = connection;
  if (typeof ssl !== 'object' || ssl === null) return connection;
  const contents = readFiles(connection);
  return Object.keys(contents).length === 0 ? connection : { ...connection, ssl: { ...ssl, ...contents } };
}
