/** Whether an integer is too large for JavaScript to represent exactly: it may differ from the one that was written. */
export function isUnsafeInteger(value: unknown): value is number {
  return Number.isInteger(value) && !Number.isSafeInteger(value);
}
