import { constants } from 'node:buffer';
import type { Tuple } from './messages.ts';

/** Bytes. PostgreSQL can send longer values, but JavaScript has no string for them. */
export const longestText = constants.MAX_STRING_LENGTH;

/** Not part of the tuples, because hardly any tuple has such a value. */
const sizes = new WeakMap<Tuple, Map<number, number>>();

/** Records that the value in this slot is undefined because it is too long. */
export function noteOversized(tuple: Tuple, slot: number, bytes: number): void {
  const known = sizes.get(tuple);
  if (known) known.set(slot, bytes);
  else sizes.set(tuple, new Map([[slot, bytes]]));
}

/** The size of the value in this slot, if it is undefined because it is too long. */
export function oversizedBytes(tuple: Tuple | undefined, slot: number): number | undefined {
  return tuple && sizes.get(tuple)?.get(slot);
}
