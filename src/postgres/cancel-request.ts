import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import pg from 'pg';
import type { Client, ClientConfig } from 'pg';

/** Milliseconds for a request. */
const timeout = 2000;

/** Members of pg's client that its types lack. */
interface Backend {
  readonly processID: number | null;
  readonly secretKey: number | null;
  readonly host: string;
  readonly port: number;
  readonly connection: EventEmitter & {
    readonly stream: Duplex;
    readonly ssl: unknown;
    readonly sslNegotiation: string;
    connect(port: number | string, host?: string): void;
    requestSsl(): void;
    cancel(processId: number, secretKey: number): void;
  };
}

/**
 * Asks the server to cancel a client's query, over a separate connection, as the protocol requires. Resolves when the request was
 * sent or could not be sent. Whether the server cancels the query is unknown.
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
 */
export async function requestCancel(client: Client, config: ClientConfig): Promise<void> {
  const { processID, secretKey, host, port } = client as unknown as Backend;
  if (processID === null || secretKey === null) return; // it never connected
  const { connection } = new pg.Client(config) as unknown as Backend;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => connection.stream.destroy(), timeout);
    const cancel = () => connection.cancel(processID, secretKey);
    connection.on('error', () => {}); // 'end' follows
    connection.once('end', () => {
      clearTimeout(timer);
      resolve();
    });
    connection.once('connect', () => {
      if (!connection.ssl) cancel();
      else if (connection.sslNegotiation !== 'direct') connection.requestSsl();
    });
    connection.once('sslconnect', cancel);
    if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`);
    else connection.connect(port, host);
  });
}
