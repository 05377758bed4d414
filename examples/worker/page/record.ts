import type { LiveSource } from 'walwatch/client';
import type { watchers } from '../watchers.ts';
import { coalesced, type User, user } from './server.ts';

const shown = ['id', 'name', 'email', 'phone', 'role'] as const;
const mostChanges = 6;

/** One record, and its changes since it was selected. */
export class RecordView {
  readonly #live: LiveSource<typeof watchers>;
  readonly #list = document.querySelector<HTMLElement>('#record dl')!;
  readonly #changes = document.querySelector<HTMLElement>('#record ol')!;
  #id: number | undefined;
  #before: User | null | undefined;
  #ends: (() => void)[] = [];

  constructor(live: LiveSource<typeof watchers>) {
    this.#live = live;
  }

  /** Subscribes to this one id. */
  show(id: number): void {
    for (const end of this.#ends) end();
    this.#id = id;
    this.#before = undefined;
    this.#changes.replaceChildren();
    this.#ends = [
      this.#live.subscribe('walwatch_example.users:updated', id, this.reload),
      this.#live.subscribe('walwatch_example.users:deleted', id, this.reload),
    ];
    this.reload();
  }

  readonly reload = coalesced(async () => {
    const id = this.#id;
    if (id === undefined) return;
    const now = await user(id);
    if (id === this.#id) this.#render(now);
  });

  #render(now: User | null): void {
    const before = this.#before;
    this.#before = now;
    document.querySelector<HTMLElement>('#record .empty')!.hidden = true;
    if (now) {
      this.#list.hidden = false;
      this.#list.replaceChildren(
        ...shown.flatMap((column) => [element('dt', column), element('dd', String(now[column] ?? '–'))]),
      );
    }
    if (before && !now) this.#tell('deleted').dataset['gone'] = '';
    if (!before || !now) return;
    for (const column of shown) {
      if (before[column] !== now[column]) this.#tell(`${column}: ${before[column] ?? '–'} → ${now[column] ?? '–'}`);
    }
  }

  #tell(what: string): HTMLElement {
    const line = element('li');
    line.append(element('time', new Date().toLocaleTimeString()), element('span', what));
    this.#changes.prepend(line);
    while (this.#changes.children.length > mostChanges) this.#changes.lastElementChild!.remove();
    return line;
  }
}

const element = (name: string, textContent = '') => Object.assign(document.createElement(name), { textContent });
