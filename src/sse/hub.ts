import { ownListener } from '../observe/emitter.ts';
import type { EventContext } from '../types/delivery.ts';
import { thrownText } from '../errors.ts';
import type { Watch } from '../types/watch.ts';
import { Audience, type Member } from './audience.ts';
import { CatchUp, type Returning } from './catch-up.ts';
import { type Change, heartbeatMessage, makeChange, changeMessage, ownMessage, retryMessage } from './change.ts';
import { Connection } from './connection.ts';
import { FilterColumns } from './criterion.ts';
import { type Grant, Grants } from './grants.ts';
import { History } from './history.ts';
import type { Refusal } from './query.ts';
import { refusedMessages } from './refusal.ts';
import { Trails } from './trails.ts';
import { Turns } from './turns.ts';
import type { Wanted } from './wanted.ts';

export interface HubSettings {
  readonly heartbeat: number;
  readonly replay: number;
  readonly clientBuffer: number;
  readonly maxAge: number;
}

/** The client of a new connection. */
export interface Requester {
  readonly identity: string;
  /** When `authorize` was called: `maxAge` counts from then. */
  readonly asked: number;
  /** Aborted when the client has disconnected. */
  readonly signal: AbortSignal;
  /** Called when the connection has ended. */
  readonly onEnd: () => void;
}

/** One subscription of a connection, by its number in the request. */
interface ClientSubscription extends Member {
  readonly client: Client;
  readonly index: number;
  readonly feed: Feed;
  readonly grant: Grant;
}

interface Client {
  readonly connection: Connection;
  /** The last id that was sent to it; undefined while it is still catching up. */
  position: string | undefined;
}

/** The state of one watcher, kept since its first client subscribed. */
interface Feed {
  readonly columns: FilterColumns;
  readonly audience: Audience<ClientSubscription>;
  readonly trails: Trails;
}

/** The memory limit of the history. */
const historyBytes = 64 * 1024 * 1024;

const forgotten = 'the server has dropped the changes since the last id';

/** Sends the changes of a watch to its clients. It makes one subscription per watcher, however many filters clients use. */
export class Hub {
  readonly #watch: Watch<any>;
  readonly #settings: HubSettings;
  readonly #heartbeat: Uint8Array;
  readonly #history: History;
  readonly #grants: Grants;
  readonly #turns = new Turns();
  readonly #feeds = new Map<string, Feed>();
  readonly #clients = new Set<Client>();

  constructor(watch: Watch<any>, settings: HubSettings) {
    this.#watch = watch;
    this.#settings = settings;
    this.#heartbeat = heartbeatMessage(settings.heartbeat);
    this.#history = new History(settings.replay, historyBytes);
    this.#grants = new Grants(settings.maxAge);
    // Only the watch that owns a slot has 'standby'; another never emits it.
    const on = watch.on.bind(watch) as (event: 'gap' | 'standby', listener: () => void) => () => void;
    on(
      'gap',
      ownListener(() => this.#cut('changes were missed')),
    );
    on(
      'standby',
      ownListener(() => {
        // Another worker receives the changes now.
        this.#cut('another worker has the slot');
        this.#endAll();
      }),
    );
    // Promise.prototype.then, because `closed.then` would count as the application's handling of the error that ended the watch.
    const end = () => this.#endAll();
    void Promise.prototype.then.call(watch.closed, end, end);
  }

  /** Sends the missed changes, then new changes as they happen. The caller checks `authorize` first. @throws WatchError `STOPPED` */
  connect(wanted: readonly Wanted[], refused: readonly Refusal[], requester: Requester): ReadableStream<Uint8Array> {
    for (const { watcher } of wanted) this.#feed(watcher); // a new one marks the history
    const { next } = this.#history;
    const client = this.#open(requester, () => {
      for (const subscription of subscriptions) {
        subscription.feed.audience.remove(subscription);
        this.#grants.leave(subscription.grant);
      }
    });
    const subscriptions = wanted.map(({ watcher, criterion, index }): ClientSubscription => {
      const feed = this.#feed(watcher);
      const grant = this.#grants.take(requester.identity, watcher, criterion, next);
      return { client, index, feed, grant, wish: criterion && feed.columns.wish(criterion) };
    });
    for (const message of refusedMessages(refused)) client.connection.send(message);
    const returning = subscriptions.flatMap(({ index, feed, grant, wish }, at): Returning[] => {
      const { after } = wanted[at]!;
      const from = after === undefined ? next : this.#history.after(after);
      // Changes before the grant are not for this client, whatever id it sends.
      if (from === undefined || (after !== undefined && from < grant.since)) return [];
      return [{ index, wish, trails: feed.trails, from }];
    });
    const begin = () => {
      this.#tellPosition(client);
      if (client.connection.ended) return; // cut off: the missed changes exceeded its buffer
      for (const subscription of subscriptions) subscription.feed.audience.add(subscription);
    };
    if (returning.length === wanted.length) void this.#catchUp(client, returning, begin);
    else {
      this.#reset(client, forgotten);
      begin();
    }
    return client.connection.stream;
  }

  /** Forgets the grant of a subscription that is not, or no longer, allowed. */
  deny(identity: string, { watcher, criterion }: Wanted): void {
    this.#grants.deny(identity, watcher, criterion);
  }

  #open({ asked, signal, onEnd }: Requester, leave: () => void): Client {
    const { heartbeat, clientBuffer, maxAge } = this.#settings;
    const gone = () => connection.cut('the client has disconnected');
    const connection = new Connection(clientBuffer, () => {
      clearInterval(beat);
      clearTimeout(age);
      signal.removeEventListener('abort', gone);
      this.#clients.delete(client);
      leave();
      onEnd();
    });
    const client: Client = { connection, position: undefined };
    const beat = setInterval(() => this.#beat(client), heartbeat).unref();
    const age = setTimeout(() => connection.end(), Math.max(0, asked + maxAge - performance.now())).unref();
    signal.addEventListener('abort', gone, { once: true });
    this.#clients.add(client);
    connection.send([retryMessage(), this.#heartbeat]);
    return client;
  }

  /** A few changes are sent at once, many in slices, so that other clients do not wait. Calls `begin` before any further change. */
  async #catchUp({ connection }: Client, returning: readonly Returning[], begin: () => void): Promise<void> {
    // Half the buffer: a client that was cut off as too slow missed more than this, and loads again instead of catching up.
    const missed = new CatchUp(this.#history, returning, this.#settings.clientBuffer / 2);
    const work = missed.run();
    let step = work.next();
    while (!step.done) {
      await this.#turns.next(() => connection.ended);
      if (connection.ended) return;
      step = work.next();
    }
    if (step.value) for (const message of missed.messages()) connection.send(message);
    else connection.send(ownMessage('reset', this.#history.position, forgotten));
    begin();
  }

  #feed(watcher: string): Feed {
    const there = this.#feeds.get(watcher);
    if (there) return there;
    // No client can resume this watcher from before: it had no subscription.
    this.#history.mark();
    const feed: Feed = { columns: new FilterColumns(), audience: new Audience(), trails: new Trails() };
    // The handler returns at once, so that a browser never holds the slot back.
    this.#watch.subscribe(watcher, (event, context) => this.#publish(feed, event, context), {
      name: `sse ${watcher}`,
      onError: 'retry', // it never fails, and needs no table of dead letters
    });
    this.#feeds.set(watcher, feed);
    return feed;
  }

  #publish({ columns, audience, trails }: Feed, event: unknown, context: EventContext): void {
    let change: Change;
    try {
      change = makeChange(event as object, context, columns);
    } catch (error) {
      // If this threw, the event would be retried forever and hold the slot back.
      const reason = `${context.watcher}, ${context.eventId}: the event cannot be written as JSON`;
      process.emitWarning(`walwatch/sse: ${reason}: ${thrownText(error)}`);
      this.#cut(reason);
      return;
    }
    this.#history.add(change, trails);
    const numbers = new Map<Client, number[]>();
    const unsure = new Set<Client>();
    audience.find(change, ({ client, index }, certain) => {
      const there = numbers.get(client);
      if (!certain) unsure.add(client);
      else if (there) there.push(index);
      else numbers.set(client, [index]);
    });
    const messages = new Map<string, readonly Uint8Array[]>();
    for (const [client, indexes] of numbers) {
      const key = indexes.join();
      let message = messages.get(key);
      if (!message) messages.set(key, (message = changeMessage(change, indexes)));
      client.position = change.eventId;
      client.connection.send(message);
    }
    for (const client of unsure) this.#reset(client, 'PostgreSQL did not send a value that a filter needs');
  }

  #beat(client: Client): void {
    const { connection, position } = client;
    // A server that drops a response does not always cancel its stream.
    if (!connection.read) connection.cut('the response is not being read');
    connection.send(this.#heartbeat);
    // So that a client with few events can still resume from a recent position.
    if (position !== undefined && position !== this.#history.position) this.#tellPosition(client);
  }

  #tellPosition(client: Client): void {
    client.position = this.#history.position;
    client.connection.send(ownMessage('position', client.position));
  }

  #reset(client: Client, reason: string): void {
    client.position = this.#history.position;
    client.connection.send(ownMessage('reset', client.position, reason));
  }

  /** Changes are missing: resets every client, and no client can resume from before. Clients that are catching up notice it themselves. */
  #cut(reason: string): void {
    this.#history.cut();
    for (const client of this.#clients) if (client.position !== undefined) this.#reset(client, reason);
  }

  #endAll(): void {
    for (const { connection } of this.#clients) connection.end();
  }
}
