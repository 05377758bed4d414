/** A value that subscriptions can filter by. */
export type Scalar = string | number | bigint | boolean | null;

export function isScalar(value: unknown): value is Scalar {
  return value === null || ['string', 'number', 'bigint', 'boolean'].includes(typeof value);
}

/** PostgreSQL's text of a value, so that `42`, `'42'` and `42n` are the same key. */
export function scalarText(value: Scalar): string | null {
  if (value === null) return null;
  if (typeof value === 'boolean') return value ? 't' : 'f';
  return String(value);
}

/**
 * The key of one value. Natural numbers of up to nine digits become numbers, which a Map finds faster than strings, above
 * all in large maps. Other texts are keys themselves, so different texts have different keys.
 */
export function keyOf(text: string): string | number {
  const { length } = text;
  if (length === 0 || length > 9 || (length > 1 && text.startsWith('0'))) return text;
  let value = 0;
  for (let index = 0; index < length; index++) {
    const digit = text.charCodeAt(index) - 48;
    if (digit < 0 || digit > 9) return text;
    value = value * 10 + digit;
  }
  return value;
}

/** Combines several values into one key. */
export function joinKey(texts: readonly (string | null)[]): string {
  let key = '';
  for (const text of texts) key += text === null ? '-;' : `${text.length}:${text};`;
  return key;
}
