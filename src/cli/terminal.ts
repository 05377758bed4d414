/** Capabilities of the terminal that stdout is connected to. */
import { WriteStream } from 'node:tty';

const { env, stdout } = process;

/** In a pipe, `isTTY` is undefined, although its type is boolean. */
export function isTerminal(): boolean {
  return stdout.isTTY === true;
}

/** Whether the cursor can be moved, so that a screen can be redrawn. */
export function canRedraw(): boolean {
  return isTerminal() && env['TERM'] !== 'dumb';
}

/** Decides as Node's `util.styleText()` does: by FORCE_COLOR, NO_COLOR, TERM, and the version of Windows. */
export function hasColours(stream: WriteStream): boolean {
  if (env['FORCE_COLOR'] !== undefined) return WriteStream.prototype.getColorDepth() > 2;
  return stream.isTTY === true && stream.getColorDepth() > 2;
}

/** Columns of a line. No limit in a pipe, or if the terminal does not report its width. */
export function columns(): number {
  return isTerminal() && stdout.columns > 0 ? stdout.columns : Infinity;
}

/** Lines of the screen. */
export function rows(): number {
  return isTerminal() && stdout.rows > 0 ? stdout.rows : Infinity;
}

/** Whether more than ASCII can be shown. Pipes take everything. */
export const showsUnicode: boolean = !isTerminal() || canShowUnicode(env, process.platform);

/** The fonts of the old Windows console lack signs such as ✓. On other systems the locale contains the encoding. */
export function canShowUnicode(variables: NodeJS.ProcessEnv, platform: NodeJS.Platform): boolean {
  const { TERM, TERM_PROGRAM, TERMINAL_EMULATOR, WT_SESSION, ConEmuTask, LC_ALL, LC_CTYPE, LANG } = variables;
  if (platform === 'win32') {
    return (
      Boolean(WT_SESSION || ConEmuTask || TERMINAL_EMULATOR) ||
      TERM_PROGRAM === 'vscode' ||
      /^(xterm|alacritty|rxvt|screen|tmux)/.test(TERM ?? '')
    );
  }
  if (TERM === 'linux') return false; // the kernel's console has 512 signs
  const locale = LC_ALL || LC_CTYPE || LANG;
  return !locale || /utf-?8/i.test(locale);
}
