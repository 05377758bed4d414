/**
 * What a value takes besides its text: the string's head, its places in row and event, and the number or date that it is
 * parsed into. Measured: 60 to 110 bytes.
 */
export const bytesPerValue = 80;

/**
 * What a string takes in memory that was decoded from `length` bytes of UTF-8: one byte for each character, but two for
 * each as soon as one of them is not ASCII.
 */
export function textBytes(text: string, length: number): number {
  return text.length === length ? length : 2 * text.length;
}
