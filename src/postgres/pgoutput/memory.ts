/**
 * Memory that a value takes in addition to its text: the string's header, its places in row and event, and the number or date that
 * it is parsed into. Measured: 60 to 110 bytes.
 */
export const bytesPerValue = 80;

/**
 * Memory of a string that was decoded from `length` bytes of UTF-8: one byte per character, or two bytes per character if any of
 * them is not ASCII.
 */
export function textBytes(text: string, length: number): number {
  return text.length === length ? length : 2 * text.length;
}
