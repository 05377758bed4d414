import { inspect } from 'node:util';
import { isScalar, scalarText } from '../routing/keys.ts';

/**
 * A text for a value, the same for equal values: filters, records and trigger columns are compared by texts. Scalars have the
 * texts that PostgreSQL has.
 */
export function valueText(value: unknown): string | null {
  if (isScalar(value)) return scalarText(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  return inspect(value, {
    depth: Infinity, maxArrayLength: Infinity, maxStringLength: Infinity, sorted: true, breakLength: Infinity,
  }); // prettier-ignore
}
