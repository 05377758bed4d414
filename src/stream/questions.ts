import type { QueryResult, QueryResultRow } from 'pg';
import type { Session, Statement } from '../postgres/session.ts';
import { Silence } from './silence.ts';

/** What is needed of a connection. */
export interface QuestionsHost {
  /** Opens another session, which takes the place of the one before. */
  open(): Promise<Session>;
  /** Closes one: that it is lost is no failure. */
  release(session: Session): void;
}

/** For questions that no lock can hold up: what is visible, and where the WAL ends. Their session can be replaced. */
export class Questions implements Pick<Session, 'use' | 'ask'> {
  readonly #host: QuestionsHost;
  readonly #silence: Silence;
  #session: Session;
  #waiting = 0;
  #answers = 0;
  /** When the present session was opened. */
  #answersBefore = 0;
  #renewing = false;

  /** `interval`: milliseconds between two looks. */
  constructor(session: Session, host: QuestionsHost, interval: number) {
    this.#session = session;
    this.#host = host;
    this.#silence = new Silence(interval);
  }

  /** As that of a session. */
  use<T>(task: Parameters<typeof Session.prototype.use<T>>[0]): Promise<T> {
    return this.#answerOf((session) => session.use(task));
  }

  /** As that of a session. */
  ask<Row extends QueryResultRow>(statement: Statement, ...values: readonly string[]): Promise<QueryResult<Row>> {
    return this.#answerOf((session) => session.ask<Row>(statement, ...values));
  }

  /** Whether answers come. */
  look(): void {
    this.#silence.look(this.#answers, this.#waiting === 0);
  }

  /** For how long what was asked has had no answer. */
  get silence(): Silence {
    return this.#silence;
  }

  /**
   * Asks over a new session. After an outage TCP waits with its next attempt to send for up to as long as the outage took;
   * a new connection needs two round trips. A session that has not answered anything yet is as new.
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
      // The one that we have may still get an answer, and has a deadline.
    } finally {
      this.#renewing = false;
    }
  }

  /** What has no answer when the session is replaced is asked again. */
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
