import { CapturedMessage } from '../changes/message.ts';
import { checkLetterFilter, noRecipient, type Replayed } from '../delivery/dead-letters.ts';
import type { Deliverable } from '../delivery/deliverable.ts';
import { storable } from '../delivery/letter-writer.ts';
import { outboxMessageOf } from '../delivery/message.ts';
import type { Dead } from '../delivery/recipient.ts';
import { attemptWithin } from '../delivery/timeout.ts';
import type { DeadLetter, DeadLetterFilter, DeadLetters } from '../types/delivery.ts';

interface Kept {
  readonly id: string;
  readonly dead: Dead;
  readonly watcher: string;
  attempts: number;
  error: string;
  failedAt: Date;
}

/** Dead letters in memory. */
export class TestDeadLetters implements DeadLetters {
  readonly #recipient: (subscription: string) => Replayed | undefined;
  readonly #letters = new Map<string, Kept>();
  #written = 0;

  /** `recipient`: the handler of the subscription with this name. */
  constructor(recipient: (subscription: string) => Replayed | undefined) {
    this.#recipient = recipient;
  }

  async write(dead: Dead): Promise<void> {
    const { watcher } = dead.deliverable.letter();
    const { eventId } = dead.deliverable.change;
    const now = { dead, watcher, attempts: dead.attempts, error: storable(dead.error), failedAt: new Date() };
    const there = [...this.#letters.values()].find(
      (letter) =>
        letter.watcher === watcher &&
        letter.dead.recipient.name === dead.recipient.name &&
        letter.dead.deliverable.change.eventId === eventId,
    );
    const id = there?.id ?? String(++this.#written);
    this.#letters.set(id, { id, ...now });
  }

  async *list(which: DeadLetterFilter = {}): AsyncGenerator<DeadLetter> {
    checkLetterFilter(which);
    for (const { id, dead, watcher, attempts, error, failedAt } of this.#matching(which)) {
      const { recipient, deliverable } = dead;
      const stored = storedOf(deliverable);
      const event = { ...(outboxMessageOf(watcher, stored) ?? stored) };
      yield { id, subscription: recipient.name, watcher, eventId: deliverable.change.eventId, event, attempts, error, failedAt }; // prettier-ignore
    }
  }

  async replay(which: DeadLetterFilter = {}): Promise<number> {
    checkLetterFilter(which);
    let succeeded = 0;
    for (const letter of this.#matching(which)) if (await this.#redeliver(letter)) succeeded++;
    return succeeded;
  }

  async discard(which: DeadLetterFilter): Promise<number> {
    checkLetterFilter(which);
    const discarded = this.#matching(which);
    for (const { id } of discarded) this.#letters.delete(id);
    return discarded.length;
  }

  #matching({ subscription, watcher, ids }: DeadLetterFilter): readonly Kept[] {
    return [...this.#letters.values()].filter(
      (letter) =>
        (subscription === undefined || letter.dead.recipient.name === subscription) &&
        (watcher === undefined || letter.watcher === watcher) &&
        (ids === undefined || ids.includes(letter.id)),
    );
  }

  async #redeliver(letter: Kept): Promise<boolean> {
    const { id, dead, attempts } = letter;
    const { deliverable } = dead;
    const { name } = dead.recipient;
    const recipient = this.#recipient(name);
    if (!recipient) throw noRecipient(name, id);
    const made = deliverable.context(attempts + 1);
    try {
      await attemptWithin(recipient.timeout, name, (signal) => {
        // The context's own properties, and its getters.
        const getters = { signal, ...('previous' in made && { previous: made.previous }) };
        return recipient.handle(storedOf(deliverable), Object.assign({}, made, getters));
      });
      this.#letters.delete(id);
      return true;
    } catch (error) {
      letter.attempts++;
      letter.error = storable(error);
      letter.failedAt = new Date();
      return false;
    }
  }
}

/** What a dead letter in the database would have: a message as it was written, not as its handlers get it. */
function storedOf(deliverable: Deliverable): Readonly<Record<string, unknown>> {
  const { change } = deliverable;
  return change instanceof CapturedMessage ? { ...change.event } : (deliverable.event as Record<string, unknown>);
}
