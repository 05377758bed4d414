/**
 * Characters that drive a terminal (C0, DEL, C1 and with them escape sequences), end a line, or make text look like another
 * one (marks and overrides of the writing direction).
 */
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g; // oxlint-disable-line no-control-regex
/** The same but for line ends and tabs. */
const driving = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g; // oxlint-disable-line no-control-regex

/** Text of several lines that no part of can drive a terminal. In JSON the escapes stand for the same characters. */
export function printable(text: string): string {
  return text.replace(driving, jsonEscape);
}

/** A name or value in the middle of a line: it cannot begin another one either. */
export function oneLine(text: string): string {
  return text.replace(unprintable, jsonEscape);
}

/** Whether the text is what it looks like, and on one line. */
export function isPlain(text: string): boolean {
  return text.search(unprintable) === -1;
}

/** With each character that is not plain written as `escape` does, given its four hexadecimal digits. */
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
