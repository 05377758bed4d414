import { createHash } from 'node:crypto';
import type { Criterion } from './criterion.ts';

/** A client's right to a subscription, held without interruption since a number of the history. */
export interface Grant {
  readonly key: string;
  readonly since: number;
  /** Open connections that use it. */
  open: number;
  /** When the last of them ended. */
  left: number;
}

/** How many grants without a connection are kept. The oldest are forgotten first: their clients must load again. */
const most = 100_000;

/**
 * Remembers since when a client may have each subscription, so that a right granted later does not reveal earlier changes. The
 * client's `Last-Event-ID` cannot be trusted for that. A grant is forgotten when it is denied, or when no connection has used it
 * for `maxAge`.
 */
export class Grants {
  readonly #maxAge: number;
  readonly #grants = new Map<string, Grant>();
  /** Grants without a connection, oldest first. */
  readonly #left = new Set<Grant>();

  constructor(maxAge: number) {
    this.#maxAge = maxAge;
  }

  /** `now`: the start of a new grant. */
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

/** A hash, so that the key is short however long the filter is. */
const keyOf = (identity: string, watcher: string, criterion: Criterion | undefined) =>
  createHash('sha256')
    .update(JSON.stringify([identity, watcher, criterion?.columns, criterion?.texts]))
    .digest('base64');
