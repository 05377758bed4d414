/** The terminal columns that a text takes, exact enough for cutting lines. */
import { showsUnicode } from './terminal.ts';

const none = /\p{Mn}|\p{Me}|[\u{200b}-\u{200d}]/u;
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|[\u{20000}-\u{3fffd}]/u;
const narrow = /^[\u0020-\u007e]*$/;

export const ellipsis = showsUnicode ? '…' : '...';

export function widthOf(text: string): number {
  if (narrow.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += widthOfCharacter(character);
  return width;
}

/** The longest beginning of a text that fits into `columns`. */
export function beginning(text: string, columns: number): string {
  let [width, end] = [0, 0];
  for (const character of text) {
    width += widthOfCharacter(character);
    if (width > columns) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** The text, or its beginning with an ellipsis. */
export function cut(text: string, columns: number): string {
  // A shortcut: a text that fits never has more than three UTF-16 units per column.
  if (text.length <= columns * 3 && widthOf(text) <= columns) return text;
  return beginning(text, columns - ellipsis.length) + ellipsis;
}

/** The largest width that each text may have so that all texts together fit into `columns`. */
export function share(widths: readonly number[], columns: number): number {
  let left = columns;
  const sorted = widths.toSorted((a, b) => a - b);
  for (const [index, width] of sorted.entries()) {
    const each = Math.floor(left / (sorted.length - index));
    if (width > each) return each;
    left -= width;
  }
  return Infinity;
}

function widthOfCharacter(character: string): number {
  if (none.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}
