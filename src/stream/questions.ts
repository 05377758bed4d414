import type { QueryResult, QueryResultRow } from 'pg';
import type { Session, Statement } from '../postgres/session.ts';
import { Silence } from './silence.ts';

/** The part of a connection that `Questions` uses. */
export interface QuestionsHost {
  /** Opens another session to replace the present one. */
  open(): Promise<Session>;
  /** Closes a session; losing it is not an error any more. */
  release(session: Session): void;
}

/** Asks questions that no lock can block: which transactions are visible, and the end of WAL. Its session can be replaced. */
export class Questions implements Pick<Session, 'use' | 'ask'> {
  readonly #host: QuestionsHost;
  readonly #silence: Silence;
  #session: Session;
  #waiting = 0;
  #answers = 0;
  /** The number of answers when the present session was opened. */
  #answersBefore = 0;
  #renewing = false;

  /** `interval`: milliseconds between two checks. */
  constructor(session: Session, host: QuestionsHost, interval: number) {
    this.#session = session;
    this.#host = host;
    this.#silence = new Silence(interval);
  }

  /** Like `Session.use`. */
  use<T>(task: Parameters<typeof Session.prototype.use<T>>[0]): Promise<T> {
    return this.#answerOf((session) => session.use(task));
  }

  /** Like `Session.ask`. */
  ask<Row extends QueryResultRow>(statement: Statement, ...values: readonly string[]): Promise<QueryResult<Row>> {
    return this.#answerOf((session) => session.ask<Row>(statement, ...values));
  }

  /** Checks whether answers arrive. */
  look(): void {
    this.#silence.look(this.#answers, this.#waiting === 0);
  }

  /** How long questions have been unanswered. */
  get silence(): Silence {
    return this.#silence;
  }

  /**
   * Replaces the session. After an outage TCP may wait as long as the outage took before it retransmits; a new connection
   * needs only two round trips. A session that has not answered anything yet is itself new and is kept.
   */
  async renew(): Promise<void> {
    if (this.#renewing || this.#answers === this.#answersBefore) return;
    this.#renewing = true;
    try {
      const fresh = await this.#host.open();
      const before = this.#session;
      this.#session = fresh;
      this.#answersBefore = this.#answers;
      this.#host.release(before);
    } catch {
      // Keep the present session: it may still answer, and it has a deadline.
    } finally {
      this.#renewing = false;
    }
  }

  /** A question that is unanswered when the session is replaced is asked again on the new one. */
  async #answerOf<T>(ask: (session: Session) => Promise<T>): Promise<T> {
    this.#waiting++;
    try {
      for (;;) {
        const session = this.#session;
        try {
          const answer = await ask(session);
          this.#answers++;
          return answer;
        } catch (error) {
          if (session === this.#session) throw error;
        }
      }
    } finally {
      this.#waiting--;
    }
  }
}
