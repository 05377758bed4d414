/**
 * Characters that control a terminal (C0, DEL, C1, and so escape sequences), end a line, or disguise text (marks and overrides of the
 * writing direction).
 */
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g; // oxlint-disable-line no-control-regex
/** The same, but line ends and tabs are allowed. */
const driving = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g; // oxlint-disable-line no-control-regex

/** Makes text of several lines safe to print. In JSON, the escapes mean the same characters. */
export function printable(text: string): string {
  return text.replace(driving, jsonEscape);
}

/** Makes a name or value safe to print within a line: it cannot start a new line either. */
export function oneLine(text: string): string {
  return text.replace(unprintable, jsonEscape);
}

/** Whether the text is on one line and contains nothing that controls or disguises it. */
export function isPlain(text: string): boolean {
  return text.search(unprintable) === -1;
}

/** Writes each character that is not plain with `escape`, which gets its four hexadecimal digits. */
export function escaped(text: string, escape: (digits: string) => string): string {
  return text.replace(unprintable, (character) => escape(digitsOf(character)));
}

const short: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function jsonEscape(character: string): string {
  return short[character] ?? `\\u${digitsOf(character)}`;
}

function digitsOf(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(4, '0');
}
