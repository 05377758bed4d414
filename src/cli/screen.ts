import { clip, control, draw } from './output.ts';
import { columns, rows } from './terminal.ts';

/**
 * A screen of its own, drawn over again and again, and at once when the window gets another size. What was on the terminal
 * before is there again afterwards.
 */
export class Screen implements Disposable {
  #text = '';
  readonly #redraw = () => this.draw(this.#text);
  readonly #leave = () => draw(control.closeScreen);

  constructor() {
    draw(control.openScreen);
    process.stdout.on('resize', this.#redraw);
    process.once('exit', this.#leave); // whatever ends it
  }

  /** Lines are cut: one that is wrapped would move those above it off the screen. */
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
