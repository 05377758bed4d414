/** Self-signed certificates, encoded by hand because Node can only read them. RFC 5280, in the encoding of X.690 (DER). */
import { generateKeyPairSync, sign } from 'node:crypto';
import { chown, writeFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { serverUser } from './binaries.ts';
import type { Cluster } from './cluster.ts';

export interface Certificate {
  /** Both in PEM. */
  readonly certificate: string;
  readonly key: string;
}

/** For a server with this host name or IPv4 address. As a CA file it trusts itself only. */
export function selfSigned(host: string): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(oid('2a8648ce3d040302')); // ecdsa-with-SHA256
  const name = sequence(tag(0x31, sequence(oid('550403'), tag(0x0c, Buffer.from(host))))); // commonName
  const alternative = isIPv4(host) ? tag(0x87, Buffer.from(host.split('.').map(Number))) : tag(0x82, Buffer.from(host));
  const toBeSigned = sequence(
    tag(0xa0, integer(2)), // version 3
    integer(1),
    algorithm,
    name,
    sequence(date('20200101000000Z'), date('21200101000000Z')),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tag(0xa3, sequence(sequence(oid('551d11'), tag(0x04, sequence(alternative))))), // subjectAltName
  );
  const signature = tag(0x03, Buffer.concat([Buffer.of(0), sign('sha256', toBeSigned, privateKey)]));
  const encoded = sequence(toBeSigned, algorithm, signature).toString('base64').replaceAll(/.{64}/g, '$&\n');
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${encoded}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** Makes the server speak TLS with this certificate. Returns the file for `sslrootcert`. */
export async function useCertificate(cluster: Cluster, { certificate, key }: Certificate): Promise<string> {
  const user = await serverUser();
  const write = async (name: string, text: string) => {
    const path = join(cluster.dataDirectory, name);
    await writeFile(path, text, { mode: 0o600 });
    if (user) await chown(path, user.uid, user.gid);
    return path;
  };
  await write('server.key', key);
  const path = await write('server.crt', certificate);
  await cluster.reload({ ssl: true });
  return path;
}

function tag(type: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const { length } = body;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(type, ...head), body]);
}

const sequence = (...content: readonly Buffer[]) => tag(0x30, ...content);
const oid = (hex: string) => tag(0x06, Buffer.from(hex, 'hex'));
const integer = (value: number) => tag(0x02, Buffer.of(value));
const date = (text: string) => tag(0x18, Buffer.from(text)); // GeneralizedTime
