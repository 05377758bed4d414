/** A position in the write-ahead log. https://www.postgresql.org/docs/current/datatype-pg-lsn.html */
export type Lsn = bigint;

/** `'16/B374D848'` → 0x16B374D848n */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text);
  if (!match)
    throw new TypeError(`invalid LSN ${JSON.stringify(text)}: expected two hexadecimal numbers, such as 16/B374D848`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** 0x16B374D848n → `'16/B374D848'`, as PostgreSQL writes it. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;
}

/**
 * Compares two positions: negative, 0 or positive, as `sort` expects it. A comparison as text would give a wrong order.
 *
 *
 * @example
 * ```ts
 * compareLsn('9/0', '10/0'); // negative
 * ```
 * @throws TypeError if one of them is not an LSN
 */
export function compareLsn(a: string, b: string): number {
  const left = parseLsn(a);
  const right = parseLsn(b);
  return left < right ? -1 : left > right ? 1 : 0;
}
