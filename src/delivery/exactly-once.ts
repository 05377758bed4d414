import type { Client } from 'pg';
import { checkOwnTable } from '../postgres/own-tables.ts';
import { BatchHandlerContext } from './batch.ts';
import { HandlerContext } from './context.ts';
import { HandlerSession, type HandlerSessionHost } from './handler-session.ts';
import { isAfter, moved, type Place, placeOf, type Position } from './position.ts';
import { Positions, type PositionsHost } from './positions.ts';
import { type IsFresh, type RecordedRow, type Recorder, recorderOf } from './recorder.ts';
import type { EventContext } from '../types/delivery.ts';

export interface ExactlyOnceHost extends PositionsHost, HandlerSessionHost {}

type Handler = (event: any, context: any) => unknown;

/** Calls a handler with `context.client`. */
export type InTransaction = Pick<ExactlyOnce, 'handle' | 'handleAgain' | 'close' | 'cut'>;

/**
 * Runs a handler in a transaction that also moves the subscription's position. Both commit or neither does, so an event
 * that is delivered again after a crash is recognized. Events run one at a time; otherwise the position could pass an
 * unhandled event.
 */
export class ExactlyOnce {
  readonly #name: string;
  readonly #handler: Handler;
  readonly #positions: Positions;
  readonly #session: HandlerSession;

  /** `existing`: rows that have no position come as well. */
  constructor(host: ExactlyOnceHost, name: string, handler: Handler, existing = false) {
    this.#name = name;
    this.#handler = handler;
    this.#positions = new Positions(host);
    this.#session = new HandlerSession(host, name, async (client) => {
      await this.#positions.prepare(client);
      if (existing) await checkOwnTable(client, 'existing');
    });
  }

  /** Handles an event unless the stored position has reached it. */
  handle(event: unknown, context: HandlerContext): Promise<void> {
    return this.#session.run<Fresh>({
      signal: context.signal,
      abort: (reason) => HandlerContext.abort(context, reason),
      before: async (client) => {
        const reached = await this.#positions.lock(client, this.#name);
        const { rows, recorder } = rowsOf(context);
        const isFresh = recorder ? await recorder.fresh(client, rows) : none;
        // After a crash the same events may form different batches.
        if (context instanceof BatchHandlerContext) {
          const rest = BatchHandlerContext.after(context, reached, isFresh);
          return rest && { ...rest, reached };
        }
        const [row] = rows;
        const isNew = row ? isFresh(row.change, row.watcher) : isAfter(placesOf(context)[0]!, reached);
        return isNew ? { events: event, context, reached } : undefined;
      },
      handler: (client, fresh) => {
        HandlerContext.called(context);
        return this.#handler(fresh.events, Object.assign(fresh.context, { client }));
      },
      // After the handler: one that commits the transaction itself must not commit the position.
      after: async (client, { reached, context: handled }, attempt) => {
        const places = placesOf(handled);
        const { rows, recorder } = rowsOf(handled);
        if (recorder && !(await recorder.record(client, rows, attempt))) return false;
        return places.length === 0 || this.#positions.move(client, this.#name, moved(reached, places), attempt);
      },
    });
  }

  /** Handles an event again, regardless of the position: a dead letter. */
  handleAgain(event: unknown, context: { readonly signal: AbortSignal }): Promise<void> {
    return this.#session.run<true>({
      signal: context.signal,
      before: async () => true,
      handler: (client) => this.#handler(event, { ...context, client }),
      after: isInAttempt,
    });
  }

  /** Closes its session after the running handler has finished. */
  close(): void {
    this.#session.close();
  }

  /** Cuts its session, which rolls back the transaction of a running handler. */
  cut(): Promise<void> {
    return this.#session.cut();
  }
}

/** The unhandled part of a delivery, and the subscription's position before it. */
interface Fresh {
  readonly events: unknown;
  readonly context: HandlerContext;
  readonly reached: Position;
}

function placesOf(context: HandlerContext): readonly Place[] {
  if (context instanceof BatchHandlerContext) return BatchHandlerContext.places(context);
  const change = HandlerContext.change(context);
  return recorderOf(change) ? [] : [placeOf(change, (context as Partial<EventContext>).watcher)];
}

const none: IsFresh = () => false;

/** The existing rows: they have no position in the stream. */
function rowsOf(context: HandlerContext): {
  readonly rows: readonly RecordedRow[];
  readonly recorder: Recorder | undefined;
} {
  const all =
    context instanceof BatchHandlerContext
      ? BatchHandlerContext.parts(context)
      : [{ change: HandlerContext.change(context), watcher: (context as Partial<EventContext>).watcher }];
  const rows = all.filter(({ change }) => recorderOf(change) !== undefined);
  return { rows, recorder: rows[0] && recorderOf(rows[0].change) };
}

async function isInAttempt(client: Client, _: true, attempt: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `select where pg_catalog.current_setting('walwatch.attempt', true) operator(pg_catalog.=) $1`,
    [attempt],
  );
  return rowCount === 1;
}
