import type { Captured } from '../changes/ledger.ts';
import type { HandlerContext } from '../delivery/context.ts';
import type { Deliverable } from '../delivery/deliverable.ts';
import type { Recipient } from '../delivery/recipient.ts';
import type { RecoveryView } from '../delivery/recovery.ts';
import type { GroupNotes } from './group-notes.ts';

/** A note: the number of attempts that were started, by subscription. */
interface Note {
  readonly eventId: string;
  readonly attempts: Record<string, number>;
}

/** A redelivered message and its note. */
interface Again {
  readonly path: readonly string[];
  readonly note: Note;
}

/**
 * Counts attempts at redelivered messages. Each attempt is noted before it starts, so that a handler that crashes its process
 * is not called without end. The delivery count cannot serve: most redelivered messages only waited in a process that stopped
 * or lost its connection.
 */
export class BegunAttempts implements RecoveryView {
  readonly open = true;
  readonly #notes: GroupNotes;
  readonly #counts: () => boolean;
  readonly #again = new Map<Captured, Again>();

  /** `counts` returns whether some subscription limits its attempts. */
  constructor(notes: GroupNotes, counts: () => boolean) {
    this.#notes = notes;
    this.#counts = counts;
  }

  get wanted(): boolean {
    return this.#counts();
  }

  /** Reads the note of a message, before its handlers are called. */
  async load(change: Captured, seq: number): Promise<void> {
    const path = ['attempts', String(seq)];
    const found = await this.#notes.read<Note>(...path);
    // A note about a message of an earlier stream does not count.
    const note = found?.eventId === change.eventId ? found : { eventId: change.eventId, attempts: {} };
    this.#again.set(change, { path, note });
  }

  /** The message is handled. */
  settled(change: Captured): void {
    const again = this.#again.get(change);
    if (!again) return;
    this.#again.delete(change);
    if (Object.keys(again.note.attempts).length > 0) void this.#notes.erase(...again.path);
  }

  /** This process stops as planned: unfinished attempts are not the handler's fault. */
  async end(): Promise<void> {
    const begun = [...this.#again.values()].filter(({ note }) => Object.keys(note.attempts).length > 0);
    await Promise.all(begun.map(({ path }) => this.#notes.erase(...path)));
    this.#again.clear();
  }

  close(): void {}

  covers(change: Captured): boolean {
    return this.#again.has(change);
  }

  isDead(): boolean {
    return false;
  }

  counts({ settings }: Recipient, deliverable: Deliverable): boolean {
    return typeof settings.onError === 'object' && this.#of(deliverable).length > 0;
  }

  firstAttempt({ name }: Recipient, deliverable: Deliverable): number {
    return 1 + Math.max(0, ...this.#of(deliverable).map(({ note }) => note.attempts[name] ?? 0));
  }

  async call(
    { name }: Recipient,
    deliverable: Deliverable,
    { attempt }: HandlerContext,
    handler: () => unknown,
  ): Promise<void> {
    const begun = this.#of(deliverable);
    await Promise.all(
      begun.map(({ path, note }) => {
        note.attempts[name] = attempt;
        return this.#notes.write(note, ...path);
      }),
    );
    await handler();
  }

  #of({ parts, change }: Deliverable): readonly Again[] {
    const changes = parts ? parts.map((part) => part.change) : [change];
    return changes.flatMap((one) => this.#again.get(one) ?? []);
  }
}
