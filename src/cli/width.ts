/** How many columns of a terminal a text takes, near enough to cut lines by. */
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

/** The beginning of a text, in at most so many columns. */
export function beginning(text: string, columns: number): string {
  let [width, end] = [0, 0];
  for (const character of text) {
    width += widthOfCharacter(character);
    if (width > columns) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** The same with an ellipsis for what was cut. */
export function cut(text: string, columns: number): string {
  // No character takes less than a third of a column for each of its units.
  if (text.length <= columns * 3 && widthOf(text) <= columns) return text;
  return beginning(text, columns - ellipsis.length) + ellipsis;
}

/** The most columns that each of some texts may take so that all of them together take no more than `columns`. */
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
