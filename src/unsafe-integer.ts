/** A whole number so large that JavaScript has no number for each: it may not be the one that somebody wrote. */
export function isUnsafeInteger(value: unknown): value is number {
  return Number.isInteger(value) && !Number.isSafeInteger(value);
}
