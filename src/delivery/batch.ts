import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import type { Captured } from '../changes/ledger.ts';
import type { Letter } from './letter.ts';
import { isAfter, type Place, placeOf, type Position } from './position.ts';
import { type IsFresh, type RecordedRow, recorderOf } from './recorder.ts';
import type { BatchContext } from '../types/delivery.ts';

/** Several events that are delivered, retried and acknowledged together. */
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

  /** The oldest change identifies the batch. */
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
    throw new TypeError('a batch has no dead letter: each of its events has one');
  }
}

/**
 * The newest delivery of each record, in order. If the key changed, a delivery counts for both records. An older delivery
 * stays if it has a value that no newer one has: an unchanged TOASTed value is sent only with the insert, and watchers of
 * one table have different columns.
 */
function latestOf(parts: readonly Deliverable[]): readonly Deliverable[] {
  const newer = new Map<string, Deliverable[]>();
  return parts
    .toReversed()
    .filter((part) => {
      const { records } = part;
      const isStale =
        records.length > 0 && // no records: they are unknown
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

  /** The part of a batch after a position; undefined: nothing. */
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
