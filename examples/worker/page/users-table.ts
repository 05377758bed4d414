import type { LiveSource } from 'walwatch/client';
import type { watchers } from '../watchers.ts';
import { coalesced, type User, users } from './server.ts';

/** The table: all users, or the users of one role. Reloads when one of them is inserted, changed or deleted. */
export class UsersTable {
  readonly #live: LiveSource<typeof watchers>;
  readonly #choose: (id: number) => void;
  readonly #body = document.querySelector('#users tbody')!;
  readonly #rows = new Map<number, HTMLTableRowElement>();
  #role: number | undefined;
  #chosen: number | undefined;
  #ends: (() => void)[] = [];

  constructor(live: LiveSource<typeof watchers>, choose: (id: number) => void) {
    this.#live = live;
    this.#choose = choose;
    this.show(undefined);
  }

  /** Subscribes to the users that have, get or lose this role. */
  show(role: number | undefined): void {
    for (const end of this.#ends) end();
    this.#role = role;
    const filter = { role_id: role ?? null };
    this.#ends = (['inserted', 'updated', 'deleted'] as const).map((type) =>
      role === undefined
        ? this.#live.subscribe(`walwatch_example.users:${type}`, this.reload)
        : this.#live.subscribe(`walwatch_example.users:${type}`, filter, this.reload),
    );
    this.#rows.clear();
    this.#body.replaceChildren();
    this.reload();
  }

  readonly reload = coalesced(async () => {
    const role = this.#role;
    const found = await users(role);
    if (role === this.#role) this.#render(found);
  });

  mark(id: number): void {
    this.#chosen = id;
    for (const [rowId, row] of this.#rows) row.ariaSelected = String(rowId === id);
  }

  #render(found: readonly User[]): void {
    const first = this.#rows.size === 0;
    const ids = new Set(found.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    for (const [index, user] of found.entries()) {
      let row = this.#rows.get(user.id);
      if (!row) {
        this.#rows.set(user.id, (row = this.#makeRow(user)));
        if (!first) flash(row);
      }
      this.#fill(row, user);
      if (this.#body.children[index] !== row) this.#body.insertBefore(row, this.#body.children[index] ?? null);
    }
    document.querySelector('#count')!.textContent = String(found.length);
    document.querySelector<HTMLElement>('#users .empty')!.hidden = found.length > 0;
  }

  #makeRow({ id }: User): HTMLTableRowElement {
    const row = document.createElement('tr');
    row.dataset['id'] = String(id);
    row.ariaSelected = String(id === this.#chosen);
    for (const className of ['number', '', 'wide', 'wide', '']) row.insertCell().className = className;
    row.cells[1]!.append(document.createElement('button')); // for the keyboard
    row.cells[4]!.append(Object.assign(document.createElement('span'), { className: 'role' }));
    row.addEventListener('click', () => this.#choose(id));
    return row;
  }

  #fill(row: HTMLTableRowElement, { id, name, email, phone, role }: User): void {
    for (const [index, value] of [id, name, email, phone, role].entries()) {
      const cell = row.cells[index]!;
      const holder = cell.firstElementChild ?? cell;
      const text = String(value ?? '–');
      if (holder.textContent === text) continue;
      if (holder.textContent !== '') flash(cell);
      holder.textContent = text;
    }
  }
}

function flash(element: Element): void {
  element.classList.remove('changed');
  element.getBoundingClientRect(); // forces a layout, so that the animation restarts
  element.classList.add('changed');
}
