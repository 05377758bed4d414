import { type Entry, keepUp, type Line, type Tell, type Told } from './told.ts';

/** A message of the tab with the connection to all tabs. */
export interface Relayed {
  /** With `keys` emptied: they are in `to`. */
  readonly told: Told;
  /** With `opening`: the version of each tab's wish that the attempt serves. */
  readonly versions?: Readonly<Record<string, number>>;
  /** The keys by tab. */
  readonly to?: Readonly<Record<string, readonly string[]>>;
}

interface Wish {
  readonly version: number;
  readonly entries: readonly Entry[];
}

/** Milliseconds that a new leader waits for the wishes of the other tabs. */
const settling = 30;

/** Requests the subscriptions of all tabs on one connection. */
export class Leader {
  readonly #line: Line;
  readonly #send: (relayed: Relayed) => void;
  readonly #wishes = new Map<string, Wish>();
  /** The entries of the connection. Tabs with different last ids have separate entries, so that no tab receives an event twice. */
  #asked = new Map<
    string,
    { readonly entry: Entry; readonly owners: { readonly tab: string; readonly entry: Entry }[] }
  >();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(connect: (tell: Tell) => Line, send: (relayed: Relayed) => void) {
    this.#send = send;
    this.#line = connect((told) => this.#relay(told));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#ask();
    }, settling);
  }

  /** Every new wish makes a new request, even if other tabs already have it: the cookies may belong to another user by now. */
  want(tab: string, version: number, entries: readonly Entry[]): void {
    this.#wishes.set(tab, { version, entries });
    if (this.#timer === undefined) this.#ask();
  }

  knows(tab: string): boolean {
    return this.#wishes.has(tab);
  }

  drop(tab: string): void {
    if (this.#wishes.delete(tab) && this.#timer === undefined) this.#ask();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#line.want([]);
  }

  #ask(): void {
    for (const { entry, owners } of this.#asked.values()) for (const owner of owners) owner.entry.after = entry.after;
    this.#asked = new Map();
    for (const [tab, { entries }] of this.#wishes) {
      for (const entry of entries) {
        const key = JSON.stringify([entry.key, entry.after]);
        let asked = this.#asked.get(key);
        if (!asked) this.#asked.set(key, (asked = { entry: { ...entry, key }, owners: [] }));
        asked.owners.push({ tab, entry });
      }
    }
    this.#line.want(this.#entries());
  }

  #entries(): Entry[] {
    return [...this.#asked.values()].map(({ entry }) => entry);
  }

  #relay(told: Told): void {
    keepUp(this.#entries(), told);
    if (told.type === 'opening')
      this.#send({ told, versions: Object.fromEntries([...this.#wishes].map(([tab, { version }]) => [tab, version])) });
    else if ('keys' in told) this.#send({ told: { ...told, keys: [] }, to: this.#byTab(told.keys) });
    else this.#send({ told });
  }

  #byTab(keys: readonly string[]): Record<string, string[]> {
    const to: Record<string, string[]> = {};
    for (const key of keys) for (const { tab, entry } of this.#asked.get(key)!.owners) (to[tab] ??= []).push(entry.key);
    return to;
  }
}
