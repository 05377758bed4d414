/**
 * All output to stdout and stderr: for people on a terminal, for programs otherwise. Apart from our own colours it removes
 * everything that could control a terminal, because names, values and server messages may come from anybody.
 */
import { randomUUID } from 'node:crypto';
import type { WriteStream } from 'node:tty';
import { printable } from '../printable.ts';
import { redact, secretsOf } from '../redaction.ts';
import { hasColours, showsUnicode } from './terminal.ts';
import { beginning, ellipsis, widthOf } from './width.ts';

const { stdout, stderr } = process;
const closing = new AbortController();

/** Aborts when the reader of stdout has closed the pipe. */
export const closedPipe: AbortSignal = closing.signal;

/** Handles errors of stdout: a closed pipe is normal, anything else is thrown. Call it once. */
export function watchPipe(): void {
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    closing.abort(error);
  });
  stderr.on('error', () => {}); // it cannot be reported anywhere else
}

/** A random placeholder for the escape character of our own sequences, replaced when they are written. No input can contain it. */
const escape = `<${randomUUID()}>`;

/**
 * Sequences that all current terminals support, on Windows too: open and close the alternate screen with a hidden cursor, and
 * clear it. https://learn.microsoft.com/windows/console/console-virtual-terminal-sequences
 */
export const control = {
  openScreen: `${escape}[?1049h${escape}[?25l`,
  closeScreen: `${escape}[?25h${escape}[?1049l`,
  clear: `${escape}[H${escape}[J`,
} as const;

const ascii: Readonly<Record<string, string>> = {
  '✓': 'ok', '✗': 'x', '…': '...', '→': '->', '–': '-', '’': "'",
}; // prettier-ignore

function released(text: string): string {
  const safe = text.split(escape).map(printable).join('\u001b');
  return showsUnicode ? safe : safe.replaceAll(/[✓✗…→–’]/g, (sign) => ascii[sign]!);
}

/** The visible text, without our colours. */
export function visible(text: string): string {
  return text
    .split(escape)
    .map((part, index) => (index === 0 ? part : part.replace(/^\[\d*m/, '')))
    .join('');
}

/** Cuts a line to `columns`, with its colours. */
export function clip(line: string, columns: number): string {
  if (widthOf(printable(visible(line))) <= columns) return line;
  let left = columns - ellipsis.length;
  let cut = false;
  const parts = line.split(escape).map((part, index) => {
    const style = index === 0 ? '' : (/^\[\d*m/.exec(part)?.[0] ?? '');
    const text = printable(part.slice(style.length));
    if (cut) return style;
    const shown = beginning(text, left);
    left -= widthOf(shown);
    cut = shown.length < text.length;
    return `${style}${shown}${cut ? ellipsis : ''}`;
  });
  return parts.join(escape);
}

/** Writes to the terminal without a line end: a screen, or the sequences that open and close it. */
export function draw(text: string): void {
  stdout.write(released(text));
}

/** Resolves once the reader has accepted the line. Rejects when the pipe is closed. */
export async function deliver(text: string): Promise<void> {
  closedPipe.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    stdout.write(`${released(text)}\n`, (error) => (error ? reject(error) : resolve()));
  });
}

/** Prints output whose reader may close the pipe early, such as `head`. */
export async function print(text: string): Promise<void> {
  await deliver(text).catch((error: unknown) => {
    if (!closedPipe.aborted && (error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  });
}

export async function printJson(value: unknown, indent = 2): Promise<void> {
  await print(toJson(value, indent));
}

/** Writes progress and errors to stderr, without secrets. */
export function note(text: string): void {
  stderr.write(`${released(withoutSecrets(text))}\n`);
}

/** Indents the further lines of a foreign text, so that none of them looks like a line of ours. */
export function indented(text: string, by = '  '): string {
  return text.replaceAll(/\n(?! {2})/g, `\n${by}`);
}

/** Waits until all output is written. */
export async function flush(): Promise<void> {
  for (const stream of [stdout, stderr]) await new Promise<void>((resolve) => stream.write('', () => resolve()));
}

/** JSON, with PostgreSQL's text for values that JSON cannot express: bytes as hexadecimal, bigints as digits. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    function (this: Record<string, unknown>, key, converted: unknown) {
      const given = this[key]; // before toJSON()
      if (Buffer.isBuffer(given)) return `\\x${given.toString('hex')}`;
      if (typeof given === 'bigint') return String(given);
      if (typeof given === 'number' && !Number.isFinite(given)) return String(given);
      return converted;
    },
    indent,
  );
}

const codes = { red: 31, green: 32, yellow: 33, cyan: 36, bold: 1, dim: 2 };

/** Colours a text if the stream shows colours. */
export function paint(style: keyof typeof codes, text: string, stream: WriteStream = stdout): string {
  return hasColours(stream) ? `${escape}[${codes[style]}m${text}${escape}[0m` : text;
}

export type Level = 'ok' | 'warning' | 'problem';

export function mark(level: Level): string {
  if (level === 'ok') return paint('green', '✓');
  return level === 'warning' ? paint('yellow', '!') : paint('red', '✗');
}

const secrets = new Set(
  ['PGPASSWORD', 'DATABASE_URL', 'PGHOST', 'PGDATABASE'].flatMap((name) =>
    secretsOf(name === 'PGPASSWORD' ? { password: process.env[name] } : process.env[name]),
  ),
);

/** Registers the secrets of a connection, so that no output shows them. */
export function keepSecret(connection: unknown): void {
  for (const secret of secretsOf(connection)) secrets.add(secret);
}

/** Removes secrets from messages and settings. Not for data. */
export function withoutSecrets(text: string): string {
  return redact(text, secrets);
}

/** 1536 → `1.5 kB`, with the units of PostgreSQL's settings. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const step = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  const value = bytes / 1024 ** step;
  return `${value >= 10 || step === 0 ? Math.round(value) : Math.round(value * 10) / 10} ${units[step]}`;
}

/** 4000 → `1 h 7 min` */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}
