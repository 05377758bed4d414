import type { ClientBase } from 'pg';
import { HandlerContext } from '../delivery/context.ts';
import type { ExactlyOnceHost, InTransaction } from '../delivery/exactly-once.ts';
import { throwIssues } from '../errors.ts';
import type { ExistingReader } from '../routing/existing-reader.ts';
import type { Router } from '../routing/router.ts';
import type { Handler } from '../routing/subscription.ts';
import { Subscriptions } from '../routing/subscriptions.ts';
import type { OnError } from '../types/delivery.ts';
import { stopped } from '../watch/outcome.ts';

/** Never used: handlers with `transaction: true` get the test's client. */
const noDatabase: ExactlyOnceHost = {
  slot: '', create: false, open: () => Promise.reject(stopped()), history: () => ({ systemIdentifier: '', timeline: 0 }), warn: () => {},
}; // prettier-ignore

/** Subscriptions without a database. */
export class TestSubscriptions extends Subscriptions {
  readonly #client: ClientBase | undefined;

  constructor(router: Router, onError: OnError, existing: ExistingReader, client: ClientBase | undefined) {
    super(router, { onError }, noDatabase, existing);
    this.#client = client;
  }

  protected override inTransaction(name: string, handler: Handler): InTransaction {
    const client = this.#client;
    if (client) return new WithClient(handler, client);
    throwIssues([
      {
        message: `${name}: transaction: true needs a database, and a test watch has none`,
        solution:
          'Pass a client that its handlers get as context.client: createTestWatch(watchers, { client }). Or test it on a real PostgreSQL with createWatch(), which also stores the position.',
      },
    ]);
    throw new TypeError('unreachable');
  }
}

/** Calls a handler with the test's client. */
class WithClient implements InTransaction {
  readonly #handler: Handler;
  readonly #client: ClientBase;

  constructor(handler: Handler, client: ClientBase) {
    this.#handler = handler;
    this.#client = client;
  }

  async handle(event: unknown, context: HandlerContext): Promise<void> {
    await Promise.resolve(); // a handler with a transaction is never called at once, and its timeout begins with the call
    HandlerContext.called(context);
    await this.#handler(event, Object.assign(context, { client: this.#client }));
  }

  async handleAgain(event: unknown, context: object): Promise<void> {
    await this.#handler(event, { ...context, client: this.#client });
  }

  close(): void {}

  async cut(): Promise<void> {}
}
