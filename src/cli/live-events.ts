import { createWatch } from '../watch/create-watch.ts';
import type { Configuration } from './config.ts';
import { lenientTypes } from './lenient-types.ts';
import { withoutSecrets } from './output.ts';

export interface LiveEvent {
  readonly at: Date;
  readonly watcher: string;
  readonly eventId: string;
}

/** The last events as they happen, over a separate temporary slot with the worker's publication. */
export class LiveEvents implements AsyncDisposable {
  /** Newest first. */
  readonly last: LiveEvent[] = [];
  /** Why no events arrive. */
  problem: string | undefined;
  readonly #watch;

  constructor({ options, resolved, watchers }: Configuration, kept: number) {
    this.#watch = createWatch<any>({
      watchers: options.watchers,
      connection: { ...resolved.connection, types: lenientTypes(resolved.connection.types) },
      logger: false,
      publication: resolved.publication.name,
      slot: { temporary: true },
      manage: 'verify',
    });
    for (const { name } of watchers) {
      this.#watch.subscribe(
        name,
        (_: unknown, { committedAt: at, eventId }: { committedAt: Date; eventId: string }) => {
          this.last.unshift({ at, watcher: name, eventId });
          this.last.length = Math.min(this.last.length, kept);
        },
      );
    }
    this.#watch.on('error', ({ message }) => (this.problem = withoutSecrets(message)));
    this.#watch.on('disconnected', ({ error }) => (this.problem = error && withoutSecrets(error.message)));
    this.#watch.on('connected', () => (this.problem = undefined));
    this.#watch.start().catch(() => {}); // 'error' reports it
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch.stop();
  }
}
