import { constants } from 'node:buffer';
import type { Tuple } from './messages.ts';

/** Bytes. A longer value cannot become a string of JavaScript, although PostgreSQL can send it. */
export const longestText = constants.MAX_STRING_LENGTH;

/** Apart from the tuples, because hardly any tuple has such a value. */
const sizes = new WeakMap<Tuple, Map<number, number>>();

/** Notes that the value at this slot is undefined because it is too long. */
export function noteOversized(tuple: Tuple, slot: number, bytes: number): void {
  const known = sizes.get(tuple);
  if (known) known.set(slot, bytes);
  else sizes.set(tuple, new Map([[slot, bytes]]));
}

/** How many bytes the value at this slot has, if that is why it is undefined. */
export function oversizedBytes(tuple: Tuple | undefined, slot: number): number | undefined {
  return tuple && sizes.get(tuple)?.get(slot);
}
