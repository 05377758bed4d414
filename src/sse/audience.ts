import { isMeant, type Text, type Traits, type Wish } from './criterion.ts';

/** A subscriber of one watcher: to the changes that match its wish, or to all changes without one. */
export interface Member {
  readonly wish: Wish | undefined;
}

/**
 * The subscribers of one watcher. Each member is indexed by one column of its filter: the one whose value has the fewest
 * members. So a change costs one lookup per column, and one comparison per member found, however many clients there are and
 * however they combine columns.
 */
export class Audience<M extends Member> {
  readonly #all = new Set<M>();
  /** By the number of the column. */
  readonly #columns: (Map<Text, Set<M>> | undefined)[] = [];
  /** Where each member with a wish is indexed. */
  readonly #places = new Map<M, { readonly column: Map<Text, Set<M>>; readonly text: Text }>();

  add(member: M): void {
    if (!member.wish) {
      this.#all.add(member);
      return;
    }
    const { places, texts } = member.wish;
    let best = 0;
    let fewest = Infinity;
    for (let at = 0; at < places.length; at++) {
      const count = this.#columns[places[at]!]?.get(texts[at])?.size ?? 0;
      if (count < fewest) [best, fewest] = [at, count];
    }
    const column = (this.#columns[places[best]!] ??= new Map<Text, Set<M>>());
    const text = texts[best];
    const there = column.get(text);
    if (there) there.add(member);
    else column.set(text, new Set([member]));
    this.#places.set(member, { column, text });
  }

  remove(member: M): void {
    this.#all.delete(member);
    const place = this.#places.get(member);
    if (!place) return;
    this.#places.delete(member);
    const there = place.column.get(place.text)!;
    there.delete(member);
    if (there.size === 0) place.column.delete(place.text);
  }

  /** Finds the members that a change is for. `certain` is false when a value that decides it was not sent. */
  find(traits: Traits, found: (member: M, certain: boolean) => void): void {
    for (const member of this.#all) found(member, true);
    const judge = (members: Iterable<M> = []) => {
      for (const member of members) {
        const verdict = isMeant(traits, member.wish!);
        if (verdict !== false) found(member, verdict === true);
      }
    };
    for (const [place, column] of this.#columns.entries()) {
      if (!column || column.size === 0) continue;
      const [now, before] = [traits.now[place], traits.before[place]];
      if (now === undefined) for (const members of column.values()) judge(members);
      else judge(column.get(now));
      if (now !== undefined && before !== undefined && before !== now) judge(column.get(before));
    }
  }
}
