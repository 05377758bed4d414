import type { EventContext } from '../types/delivery.ts';
import { thrownText } from '../errors.ts';
import type { Watch } from '../types/watch.ts';
import { Audience, type Member } from './audience.ts';
import {
  type Change,
  changeMessage,
  heartbeatMessage,
  isMeant,
  makeChange,
  ownMessage,
  retryMessage,
} from './change.ts';
import { Connection } from './connection.ts';
import type { Criterion } from './criterion.ts';
import { History } from './history.ts';
import type { Refusal } from './query.ts';
import { refusedMessages } from './refusal.ts';
import type { Wanted } from './wanted.ts';

export interface HubSettings {
  readonly heartbeat: number;
  readonly replay: number;
  readonly clientBuffer: number;
  readonly maxAge: number;
}

/** One subscription of a connection, by its number in the request. */
interface ClientSubscription extends Member {
  readonly client: Client;
  readonly index: number;
}

interface Client {
  readonly connection: Connection;
  /** The last id that it was told by us or by an event. */
  position: string;
}

/** What is kept of one watcher since its first client came. */
interface Feed {
  /** The number of the first change that may be of it: what came before was not listened to. */
  readonly since: number;
  readonly audience: Audience<ClientSubscription>;
}

/** The characters of messages that are kept at most. */
const historySize = 64 * 1024 * 1024;

/** Brings the changes of a watch to its clients: one subscription for each watcher, whatever they filter by. */
export class Hub {
  readonly #watch: Watch<any>;
  readonly #settings: HubSettings;
  readonly #history: History;
  readonly #heartbeat: Uint8Array;
  readonly #feeds = new Map<string, Feed>();
  readonly #clients = new Set<Client>();

  constructor(watch: Watch<any>, settings: HubSettings) {
    this.#watch = watch;
    this.#settings = settings;
    this.#history = new History(settings.replay, historySize);
    this.#heartbeat = heartbeatMessage(settings.heartbeat);
    // Only the watch that owns a slot has these two; another never emits them.
    const on = watch.on.bind(watch) as (event: 'gap' | 'standby', listener: () => void) => () => void;
    on('gap', () => this.#cut('changes were not seen'));
    on('standby', () => {
      // Another worker sees the changes now.
      this.#cut('another worker has the slot');
      this.#endAll();
    });
    // Promise.prototype.then, because `closed.then` would count as somebody who hears of the error that ended the watch.
    const end = () => this.#endAll();
    void Promise.prototype.then.call(watch.closed, end, end);
  }

  /** Sends what was missed, and from then on what happens. The caller has checked that this is allowed. @throws WatchError `STOPPED` */
  connect(wanted: readonly Wanted[], refused: readonly Refusal[], onEnd: () => void): ReadableStream<Uint8Array> {
    const { heartbeat, clientBuffer, maxAge } = this.#settings;
    const feeds: Feed[] = []; // by the number of the subscription in the request
    for (const { index, watcher } of wanted) feeds[index] = this.#feed(watcher);
    const end = () => {
      clearInterval(timer);
      this.#clients.delete(client);
      for (const subscription of subscriptions) feeds[subscription.index]!.audience.remove(subscription);
      onEnd();
    };
    const client: Client = { connection: new Connection(clientBuffer, end), position: '' };
    const subscriptions = wanted.map(({ criterion, index }) => ({ criterion, index, client }));
    const opened = performance.now();
    const timer = setInterval(() => {
      this.#beat(client);
      if (performance.now() - opened >= maxAge) client.connection.end();
    }, heartbeat);
    timer.unref();

    for (const message of [retryMessage(), this.#heartbeat, ...refusedMessages(refused)])
      client.connection.send(message);
    const missed = this.#missed(wanted, feeds);
    if (missed === undefined) this.#reset(client, 'the changes since the last id are not kept any more');
    else for (const message of missed) client.connection.send(message);
    this.#tellPosition(client);
    this.#clients.add(client);
    for (const subscription of subscriptions) feeds[subscription.index]!.audience.add(subscription);
    return client.connection.stream;
  }

  #feed(watcher: string): Feed {
    const there = this.#feeds.get(watcher);
    if (there) return there;
    const feed: Feed = { since: this.#history.mark(), audience: new Audience() };
    // Returns at once, so that no browser ever holds the slot back.
    this.#watch.subscribe(watcher, (event, context) => this.#publish(feed.audience, event, context), {
      name: `sse ${watcher}`,
      onError: 'retry', // it never fails, and needs no table of dead letters
    });
    this.#feeds.set(watcher, feed);
    return feed;
  }

  #publish(audience: Audience<ClientSubscription>, event: unknown, context: EventContext): void {
    let change: Change;
    try {
      change = makeChange(event as object, context);
    } catch (error) {
      // Thrown on, it would hold the slot for ever.
      const reason = `${context.watcher}, ${context.eventId}: not to be written as JSON`;
      process.emitWarning(`walwatch/sse: ${reason}: ${thrownText(error)}`);
      this.#cut(reason);
      return;
    }
    this.#history.add(change);
    const numbers = new Map<Client, number[]>();
    const unsure = new Set<Client>();
    audience.find(change, ({ client, index }, certain) => {
      const there = numbers.get(client);
      if (!certain) unsure.add(client);
      else if (there) there.push(index);
      else numbers.set(client, [index]);
    });
    const messages = new Map<string, Uint8Array>();
    for (const [client, indexes] of numbers) {
      const key = indexes.join();
      let message = messages.get(key);
      if (!message) messages.set(key, (message = changeMessage(change, indexes)));
      client.position = change.eventId;
      client.connection.send(message);
    }
    for (const client of unsure) this.#reset(client, 'a value that decides who is meant was not sent');
  }

  /** Undefined when that is not known, or more than may wait for a client. */
  #missed(wanted: readonly Wanted[], feeds: readonly Feed[]): Uint8Array[] | undefined {
    const { next } = this.#history;
    const from: number[] = [];
    const byWatcher = new Map<string, { index: number; criterion: Criterion | undefined; from: number }[]>();
    for (const { index, watcher, criterion, after } of wanted) {
      const first = after === undefined ? next : this.#history.after(after);
      if (first === undefined || first < feeds[index]!.since) return undefined;
      from.push(first);
      const there = byWatcher.get(watcher);
      const entry = { index, criterion, from: first };
      if (there) there.push(entry);
      else byWatcher.set(watcher, [entry]);
    }
    const missed: Uint8Array[] = [];
    let bytes = 0;
    for (const [number, change] of this.#history.since(Math.min(...from))) {
      const candidates = byWatcher.get(change.watcher)?.filter((candidate) => candidate.from <= number) ?? [];
      const verdicts = candidates.map(({ index, criterion }) => ({ index, meant: isMeant(change, criterion) }));
      if (verdicts.some(({ meant }) => meant === 'unknown')) return undefined;
      const indexes = verdicts.filter(({ meant }) => meant).map(({ index }) => index);
      if (indexes.length === 0) continue;
      const message = changeMessage(change, indexes);
      bytes += message.length;
      // A client that was cut for being too slow has left more than this behind: to load again is less than to catch up.
      if (bytes > this.#settings.clientBuffer / 2) return undefined;
      missed.push(message);
    }
    return missed;
  }

  #beat(client: Client): void {
    client.connection.send(this.#heartbeat);
    // So that a client that hears little can still go on from where it is.
    if (client.position !== this.#history.position) this.#tellPosition(client);
  }

  #tellPosition(client: Client): void {
    client.position = this.#history.position;
    client.connection.send(ownMessage('position', client.position));
  }

  #reset(client: Client, reason: string): void {
    client.position = this.#history.position;
    client.connection.send(ownMessage('reset', client.position, reason));
  }

  /** Changes are missing: everybody is told, and nobody goes on from before. */
  #cut(reason: string): void {
    this.#history.cut();
    for (const client of this.#clients) this.#reset(client, reason);
  }

  #endAll(): void {
    for (const { connection } of this.#clients) connection.end();
  }
}
