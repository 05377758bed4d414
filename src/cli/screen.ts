import { clip, control, draw } from './output.ts';
import { columns, rows } from './terminal.ts';

/**
 * The terminal's alternate screen, redrawn with each text and when the window is resized. Afterwards the terminal shows its
 * earlier content again.
 */
export class Screen implements Disposable {
  #text = '';
  readonly #redraw = () => this.draw(this.#text);
  readonly #leave = () => draw(control.closeScreen);

  constructor() {
    draw(control.openScreen);
    process.stdout.on('resize', this.#redraw);
    process.once('exit', this.#leave); // for every kind of exit
  }

  /** Cuts long lines: a wrapped line would move the lines above it off the screen. */
  draw(text: string): void {
    this.#text = text;
    const lines = text.split('\n').slice(0, rows());
    draw(control.clear + lines.map((line) => clip(line, columns())).join('\n'));
  }

  [Symbol.dispose](): void {
    process.stdout.off('resize', this.#redraw);
    process.off('exit', this.#leave);
    draw(control.closeScreen);
  }
}
