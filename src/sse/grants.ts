import { createHash } from 'node:crypto';
import type { Criterion } from './criterion.ts';

/** That somebody may see what a subscription brings, without a break since a number of the history. */
export interface Grant {
  readonly key: string;
  readonly since: number;
  /** Connections that have it. */
  open: number;
  /** When the last of them ended. */
  left: number;
}

/** Those without a connection that are remembered at most. The oldest go first: their clients load again. */
const most = 100_000;

/**
 * Since when somebody is allowed what it asks for, so that a right that is given later shows nothing from before. A client's
 * word (`Last-Event-ID`) is not enough for that. A grant that no connection has had for `maxAge` is forgotten, as is one that
 * is denied.
 */
export class Grants {
  readonly #maxAge: number;
  readonly #grants = new Map<string, Grant>();
  /** Those without a connection, in the order in which they were left. */
  readonly #left = new Set<Grant>();

  constructor(maxAge: number) {
    this.#maxAge = maxAge;
  }

  /** `now`: since when, if there is none yet. */
  take(identity: string, watcher: string, criterion: Criterion | undefined, now: number): Grant {
    this.#forget();
    const key = keyOf(identity, watcher, criterion);
    let grant = this.#grants.get(key);
    if (!grant) this.#grants.set(key, (grant = { key, since: now, open: 0, left: 0 }));
    grant.open++;
    this.#left.delete(grant);
    return grant;
  }

  leave(grant: Grant): void {
    grant.left = performance.now();
    if (--grant.open > 0 || this.#grants.get(grant.key) !== grant) return;
    this.#left.add(grant);
    this.#forget();
  }

  deny(identity: string, watcher: string, criterion: Criterion | undefined): void {
    const key = keyOf(identity, watcher, criterion);
    const grant = this.#grants.get(key);
    if (!grant) return;
    this.#grants.delete(key);
    this.#left.delete(grant);
  }

  #forget(): void {
    const oldest = performance.now() - this.#maxAge;
    for (const grant of this.#left) {
      if (this.#left.size <= most && grant.left >= oldest) return;
      this.#left.delete(grant);
      this.#grants.delete(grant.key);
    }
  }
}

/** Short, however long the filter is. */
const keyOf = (identity: string, watcher: string, criterion: Criterion | undefined) =>
  createHash('sha256')
    .update(JSON.stringify([identity, watcher, criterion?.columns, criterion?.texts]))
    .digest('base64');
