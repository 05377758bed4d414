/** Both sides of a replication stream's framing, without a server. */
import { Duplex } from 'node:stream';
import { type CopySink, CopyStream } from '../../src/stream/copy-stream.ts';

/** A message of PostgreSQL's protocol; `length` is the length that it declares. */
export function framed(type: string, body: Buffer, length = body.length + 4): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(length, 1);
  return Buffer.concat([head, body]);
}

export function xLogData(body: Buffer): Buffer {
  return framed('d', Buffer.concat([Buffer.from('w'), Buffer.alloc(24, 0xee), body]));
}

export function keepalive(walEnd: bigint, replyRequested: boolean): Buffer {
  const body = Buffer.alloc(18);
  body.write('k', 'latin1');
  body.writeBigUInt64BE(walEnd, 1);
  body[17] = Number(replyRequested);
  return framed('d', body);
}

/** A copy stream over a socket that delivers the bytes of the test. `told`: the calls of its sink and of pg's listener, in order. A Unix socket has no port. */
export function copying({ remotePort }: { remotePort?: number } = { remotePort: 5432 }) {
  const told: string[] = [];
  const errors: Error[] = [];
  const duplex = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
  const stream = Object.assign(duplex, { remotePort });
  stream.on('error', (error) => errors.push(error));
  stream.on('data', (bytes: Buffer) => told.push(`pg ${bytes.toString('hex')}`));
  let onMessage = () => {};
  let onLarge: CopySink['large'] = () => undefined;
  const copy = new CopyStream(stream, {
    message: (bytes, start, end) => {
      told.push(`message ${bytes.toString('latin1', start, end)}`);
      onMessage();
    },
    large: (type, length) => onLarge(type, length),
    keepalive: (walEnd, replyRequested) => told.push(`keepalive ${walEnd}${replyRequested ? ' ?' : ''}`),
  });
  return {
    copy, stream, told, errors,
    /** Called at each message of the output plugin. */
    onMessage: (listener: () => void) => (onMessage = listener),
    /** Accepts large messages in pieces; by default they are assembled. */
    onLarge: (answer: CopySink['large']) => (onLarge = answer),
    /** Each chunk is read separately. */
    bring: async (...chunks: readonly Buffer[]) => {
      for (const chunk of chunks) {
        stream.push(chunk);
        await turn();
      }
    },
  }; // prettier-ignore
}

/** Until everything that is due now has run, including what it has deferred to the end of its turn. */
export async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
}
