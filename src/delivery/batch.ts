import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import type { Captured } from '../changes/ledger.ts';
import type { Letter } from './letter.ts';
import { isAfter, type Place, placeOf, type Position } from './position.ts';
import { type IsFresh, type RecordedRow, recorderOf } from './recorder.ts';
import type { BatchContext } from '../types/delivery.ts';

/** Several events that are handed over at once, retried and acknowledged as a whole. */
export class Batch implements Deliverable {
  readonly parts: readonly Deliverable[];
  readonly delivered: readonly Deliverable[];

  constructor(parts: readonly Deliverable[], latest: boolean) {
    this.parts = parts;
    this.delivered = latest ? latestOf(parts) : parts;
  }

  get records(): readonly string[] {
    return [...new Set(this.parts.flatMap((part) => part.records))];
  }

  get barrier(): boolean {
    return this.parts.some((part) => part.barrier);
  }

  /** The oldest stands for all. */
  get change(): Captured {
    return this.parts[0]!.change;
  }

  get event(): readonly unknown[] {
    return this.delivered.map((part) => part.event);
  }

  context(attempt: number): BatchHandlerContext {
    return new BatchHandlerContext(this.change, this.delivered, attempt);
  }

  letter(): Letter {
    throw new TypeError('each part of a batch has a letter of its own');
  }
}

/**
 * The newest of each record, in order. One that concerns two records, because the key changed, is newer for both. An older one
 * stays as well if it carries a value that no newer one does: a TOASTed value that did not change is sent once, with the
 * insert, and watchers of one table carry different columns.
 */
function latestOf(parts: readonly Deliverable[]): readonly Deliverable[] {
  const newer = new Map<string, Deliverable[]>();
  return parts
    .toReversed()
    .filter((part) => {
      const { records } = part;
      const isStale =
        records.length > 0 && // none: it is not known
        records.every((record) => newer.get(record)?.some((other) => other.replaces?.(part) ?? true));
      if (isStale) return false;
      for (const record of records) {
        const there = newer.get(record);
        if (there) there.push(part);
        else newer.set(record, [part]);
      }
      return true;
    })
    .toReversed();
}

/** The second argument of a batch handler. */
export class BatchHandlerContext extends HandlerContext implements BatchContext {
  readonly watcher: string;
  readonly contexts: readonly any[];
  readonly #parts: readonly Deliverable[];

  constructor(first: Captured, parts: readonly Deliverable[], attempt: number, whole?: HandlerContext) {
    super(first, attempt, whole);
    this.#parts = parts;
    this.contexts = parts.map((part) => part.context(attempt, whole ?? this));
    this.watcher = this.contexts[0].watcher;
  }

  static places(context: BatchHandlerContext): readonly Place[] {
    return context.#parts.flatMap(({ change, watcher }) => (recorderOf(change) ? [] : [placeOf(change, watcher)]));
  }

  static parts(context: BatchHandlerContext): readonly RecordedRow[] {
    return context.#parts.map(({ change, watcher }) => ({ change, watcher }));
  }

  /** What of a batch comes after a position, and what of it has no position and is fresh; undefined: nothing. */
  static after(
    context: BatchHandlerContext,
    position: Position,
    isFresh: IsFresh,
  ): { readonly events: readonly unknown[]; readonly context: BatchHandlerContext } | undefined {
    const parts = context.#parts.filter(({ change, watcher }) =>
      recorderOf(change) ? isFresh(change, watcher) : isAfter(placeOf(change, watcher), position),
    );
    if (parts.length === 0) return undefined;
    const rest = new BatchHandlerContext(parts[0]!.change, parts, context.attempt, context);
    return { events: parts.map((part) => part.event), context: rest };
  }
}
