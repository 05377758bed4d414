import type { Verdict } from './verdict.ts';

/** Codes of OpenSSL and Node for problems with certificates, keys and the handshake. */
const tlsCodes =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|CRL_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|ERROR_IN_|EPROTO)/;

/** What an error of pg or Node means. An unknown error counts as a lost connection. */
export function clientVerdict(error: unknown, message: string): Verdict {
  const { code } = (error ?? {}) as { code?: unknown };
  if ((typeof code === 'string' && tlsCodes.test(code)) || /server does not support SSL/i.test(message)) {
    const solution =
      'Check sslmode and the certificates of `connection`. walwatch never falls back to an unencrypted connection.';
    return { code: 'TLS', message, retry: 'untilStreamed', solution };
  }
  if (/error establishing an SSL connection/i.test(message)) {
    return {
      code: 'CONNECTION',
      message: 'the server answered the request for TLS with an error',
      retry: 'soon',
      solution:
        'The server may lack memory or processes: see its log. If this stays, check that PostgreSQL listens on this port.',
    };
  }
  if (/client password must be a (non-empty )?string/.test(message)) {
    return {
      code: 'AUTHENTICATION',
      message: 'the server asks for a password, but `connection` has none',
      retry: 'never',
      solution: 'Add it to the URL (postgres://user:password@host/database), as `password`, or as PGPASSWORD.',
    };
  }
  if (message.startsWith('SASL:')) {
    const solution = 'Check the password of `connection`, and that it names the right server.';
    return { code: 'AUTHENTICATION', message, retry: 'untilStreamed', solution };
  }
  if (code === 'ERR_STRING_TOO_LONG' || (error instanceof RangeError && message === 'Invalid string length')) {
    return {
      code: 'UNSUPPORTED',
      message: `a value is longer than the longest JavaScript string (about 512 MB): ${message}`,
      retry: 'never',
      solution: 'Nothing was acknowledged. Remove its column from the watchers and start again.',
    };
  }
  return {
    code: 'CONNECTION',
    message,
    retry: 'soon',
    solution: 'Check host and port of `connection`, and whether the server runs.',
  };
}
