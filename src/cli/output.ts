/**
 * What goes to stdout: for people on a terminal, for programs otherwise. Everything leaves through here, and nothing does
 * that could drive a terminal but our own colours: names, values and messages of the server may be anybody's.
 */
import { randomUUID } from 'node:crypto';
import type { WriteStream } from 'node:tty';
import { printable } from '../printable.ts';
import { redact, secretsOf } from '../redaction.ts';
import { hasColours, showsUnicode } from './terminal.ts';
import { beginning, ellipsis, widthOf } from './width.ts';

const { stdout, stderr } = process;
const closing = new AbortController();

/** Aborts when whoever read stdout has closed the pipe. */
export const closedPipe: AbortSignal = closing.signal;

/** A reader that has gone is no failure; anything else is. To be called once. */
export function watchPipe(): void {
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    closing.abort(error);
  });
  stderr.on('error', () => {}); // there is nobody to tell
}

/** Stands for the escape character of our own sequences until they are written. Nobody else can know it. */
const escape = `<${randomUUID()}>`;

/**
 * Sequences that every terminal of today knows, that of Windows included: a screen of one's own and back, the cursor hidden
 * and shown, and everything cleared from the top on. https://learn.microsoft.com/windows/console/console-virtual-terminal-sequences
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

/** A text as it is seen, without our colours. */
export function visible(text: string): string {
  return text
    .split(escape)
    .map((part, index) => (index === 0 ? part : part.replace(/^\[\d*m/, '')))
    .join('');
}

/** A line in at most so many columns, with its colours. */
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

/** Writes to the terminal as it is, without a line end: a screen, or what opens and closes one. */
export function draw(text: string): void {
  stdout.write(released(text));
}

/** Resolves once the line was taken over by whoever reads. Rejects when nobody does. */
export async function deliver(text: string): Promise<void> {
  closedPipe.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    stdout.write(`${released(text)}\n`, (error) => (error ? reject(error) : resolve()));
  });
}

/** For output that somebody may read no further than they like. */
export async function print(text: string): Promise<void> {
  await deliver(text).catch((error: unknown) => {
    if (!closedPipe.aborted && (error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  });
}

export async function printJson(value: unknown, indent = 2): Promise<void> {
  await print(toJson(value, indent));
}

/** Beside the output proper: progress and errors, without secrets. */
export function note(text: string): void {
  stderr.write(`${released(withoutSecrets(text))}\n`);
}

/** Further lines of a text that somebody else may have written: none of them looks like one of ours. */
export function indented(text: string, by = '  '): string {
  return text.replaceAll(/\n(?! {2})/g, `\n${by}`);
}

/** Waits until all is written. */
export async function flush(): Promise<void> {
  for (const stream of [stdout, stderr]) await new Promise<void>((resolve) => stream.write('', () => resolve()));
}

/** As PostgreSQL writes them where JSON has no form of its own: bytes as hexadecimal, whole numbers as digits. */
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

/** In colour where there are any. */
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

/** Takes care that nothing of a connection that must not be shown is. */
export function keepSecret(connection: unknown): void {
  for (const secret of secretsOf(connection)) secrets.add(secret);
}

/** For what is not data: messages and settings, wherever they come from. */
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
