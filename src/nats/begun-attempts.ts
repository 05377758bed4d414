import type { Captured } from '../changes/ledger.ts';
import type { HandlerContext } from '../delivery/context.ts';
import type { Deliverable } from '../delivery/deliverable.ts';
import type { Recipient } from '../delivery/recipient.ts';
import type { RecoveryView } from '../delivery/recovery.ts';
import type { GroupNotes } from './group-notes.ts';

/** A note: by subscription, how many attempts were begun. */
interface Note {
  readonly eventId: string;
  readonly attempts: Record<string, number>;
}

/** A message that came again, and what is noted of it. */
interface Again {
  readonly path: readonly string[];
  readonly note: Note;
}

/**
 * Attempts at messages that come again, noted before they are made: so a handler that ends its process is not called for
 * ever. How often a message was delivered does not tell: most were only waiting in a process that stopped or lost its connection.
 */
export class BegunAttempts implements RecoveryView {
  readonly open = true;
  readonly #notes: GroupNotes;
  readonly #counts: () => boolean;
  readonly #again = new Map<Captured, Again>();

  /** `counts`: whether some subscription limits its attempts. */
  constructor(notes: GroupNotes, counts: () => boolean) {
    this.#notes = notes;
    this.#counts = counts;
  }

  get wanted(): boolean {
    return this.#counts();
  }

  /** Reads what is noted of a message, before its handlers are called. */
  async load(change: Captured, seq: number): Promise<void> {
    const path = ['attempts', String(seq)];
    const found = await this.#notes.read<Note>(...path);
    // A note of another stream's message is none.
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

  /** This process ends in order: what it has not finished is not the handler's fault. */
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
