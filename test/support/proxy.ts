/** A TCP proxy in front of a server that simulates the faults of a network. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** The treatment of a new connection. `silent`: accepted, never answered. Bytes: the answer to its first packet, then it is closed. */
type Behaviour = 'forward' | 'slow' | 'silent' | Buffer;

export interface Proxy extends AsyncDisposable {
  /** The server's URL, through the proxy. */
  readonly url: string;
  /** Accepted so far. */
  readonly accepted: number;
  /** For each connection, in the order of accepting, how often it sent something that the server had yet to answer: its round trips. */
  readonly turns: readonly number[];
  /** From now on, for new connections. Default `forward`. */
  behave(behaviour: Behaviour): void;
  /** Resets all connections, on both sides, or those with `part` in their startup message. */
  reset(part?: string): void;
  /**
   * Makes connections half-open: they stay open, but deliver nothing, not even their end. All of them, or
   * one of the open ones, by the order of accepting.
   */
  swallow(index?: number): void;
  /**
   * Holds back the server's bytes on the open connections, and loses nothing; bytes to the server still arrive. All of
   * them, or those with `part` in their startup message, such as `:gate` or `replication`.
   */
  hold(part?: string): void;
  /** Forwards the bytes held back, on all of them or on those. */
  release(part?: string): void;
}

interface Link {
  readonly client: Socket;
  readonly upstream: Socket | undefined;
  swallowed: boolean;
  /** The side that sent last. */
  last: 'client' | 'server';
  turns: number;
  /** The first packet of the client: with TLS a request for it, else its startup message. */
  startup: string;
}

export async function startProxy(serverUrl: string): Promise<Proxy> {
  const target = new URL(serverUrl);
  const links = new Set<Link>();
  const all: Link[] = [];
  let behaviour: Behaviour = 'forward';
  let accepted = 0;

  const server = createServer((client) => {
    accepted++;
    const forwarded = behaviour === 'forward' || behaviour === 'slow';
    const upstream = forwarded ? connect(Number(target.port), target.hostname) : undefined;
    const link: Link = { client, upstream, swallowed: false, last: 'server', turns: 0, startup: '' };
    links.add(link);
    all.push(link);
    for (const socket of [client, upstream]) socket?.on('error', () => {}); // its 'close' follows
    client.once('data', (bytes) => (link.startup = bytes.toString('latin1')));
    if (upstream) forward(link, upstream, behaviour === 'slow');
    else {
      const answer = behaviour;
      client.on('data', () => {
        if (Buffer.isBuffer(answer)) client.end(answer);
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(serverUrl);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as AddressInfo).port);

  return {
    url: url.href,
    get accepted() {
      return accepted;
    },
    get turns() {
      return all.map(({ turns }) => turns);
    },
    behave: (next) => (behaviour = next),
    reset(part = '') {
      for (const link of links) {
        if (!link.startup.includes(part)) continue;
        link.client.resetAndDestroy();
        link.upstream?.resetAndDestroy();
        links.delete(link);
      }
    },
    swallow(index) {
      const open = [...links].filter(({ client }) => !client.destroyed);
      for (const link of index === undefined ? open : [open[index]!]) link.swallowed = true;
    },
    hold: (part = '') => {
      for (const { startup, upstream } of links) if (startup.includes(part)) upstream?.pause();
    },
    release: (part = '') => {
      for (const { startup, upstream } of links) if (startup.includes(part)) upstream?.resume();
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const { client, upstream } of links) {
        client.destroy();
        upstream?.destroy();
      }
      await closed;
    },
  };
}

function forward(link: Link, upstream: Socket, slow: boolean): void {
  const { client } = link;
  client.on('data', (bytes) => {
    if (link.last === 'server') link.turns++;
    link.last = 'client';
    if (!link.swallowed) upstream.write(bytes);
  });
  if (slow) void trickle(upstream, client);
  else {
    upstream.on('data', (bytes) => {
      link.last = 'server';
      if (!link.swallowed) client.write(bytes);
    });
  }
  for (const [socket, peer] of [[client, upstream], [upstream, client]] as const) {
    socket.on('close', () => {
      if (!link.swallowed) peer.destroySoon();
    });
  } // prettier-ignore
}

/** About 200 kB a second, and no more than that is taken from the server. */
async function trickle(from: Socket, to: Socket): Promise<void> {
  try {
    for await (const bytes of from as AsyncIterable<Buffer>) {
      for (let at = 0; at < bytes.length && !to.destroyed; at += 4096) {
        to.write(bytes.subarray(at, at + 4096));
        await delay(20);
      }
    }
  } catch {
    to.destroy(); // the link was cut
  }
}

/** The answer of PostgreSQL, or a pooler, when it refuses. https://www.postgresql.org/docs/current/protocol-error-fields.html */
export function errorResponse(code: string, message: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`);
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(fields.length + 4, 1);
  return Buffer.concat([head, fields]);
}
