import { type Change } from './change.ts';
import { type Criterion, keyOf } from './criterion.ts';

/** Somebody who wants some of the changes of a watcher. */
export interface Member {
  readonly criterion: Criterion | undefined;
}

interface Shape<M> {
  readonly columns: readonly string[];
  readonly members: Map<string, Set<M>>;
}

/** Who wants the changes of one watcher: one look-up for each set of columns that is filtered by, however many clients there are. */
export class Audience<M extends Member> {
  readonly #all = new Set<M>();
  readonly #shapes = new Map<string, Shape<M>>();

  add(member: M): void {
    const { criterion } = member;
    if (criterion === undefined) {
      this.#all.add(member);
      return;
    }
    const name = JSON.stringify(criterion.columns);
    let shape = this.#shapes.get(name);
    if (!shape) this.#shapes.set(name, (shape = { columns: criterion.columns, members: new Map() }));
    const there = shape.members.get(criterion.key);
    if (there) there.add(member);
    else shape.members.set(criterion.key, new Set([member]));
  }

  remove(member: M): void {
    const { criterion } = member;
    if (criterion === undefined) {
      this.#all.delete(member);
      return;
    }
    const name = JSON.stringify(criterion.columns);
    const shape = this.#shapes.get(name);
    const there = shape?.members.get(criterion.key);
    if (!shape || !there?.delete(member) || there.size > 0) return;
    shape.members.delete(criterion.key);
    if (shape.members.size === 0) this.#shapes.delete(name);
  }

  /** Tells who is meant; `certain` is false when a value that decides it was not sent. */
  find(change: Change, found: (member: M, certain: boolean) => void): void {
    for (const member of this.#all) found(member, true);
    for (const { columns, members } of this.#shapes.values()) {
      const key = keyOf(columns, change.values);
      if (key === undefined) {
        for (const some of members.values()) for (const member of some) found(member, false);
        continue;
      }
      for (const member of members.get(key) ?? []) found(member, true);
      const before = keyOf(columns, change.previous);
      if (before !== undefined && before !== key) for (const member of members.get(before) ?? []) found(member, true);
    }
  }
}
