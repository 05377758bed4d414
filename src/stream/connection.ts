import { setTimeout as delay } from 'node:timers/promises';
import type { ClientConfig } from 'pg';
import { Session, sessionConfig } from '../postgres/session.ts';
import { WatchError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import { Acknowledgement } from './acknowledgement.ts';
import type { CopySink } from './copy-stream.ts';
import { formatLsn, type Lsn, parseLsn } from '../postgres/lsn.ts';
import { applicationName, type Prepared } from '../setup/prepare.ts';
import { Source } from './source.ts';
import type { StatusUpdate } from './status-update.ts';
import { judgeSilence, sessionTimeout, statusInterval } from './timing.ts';

/** What a connection needs of the watch, and tells it. */
export interface ConnectionHost {
  prepare(session: Session): Promise<Prepared>;
  /** Another worker has the slot: this one waits. */
  standby(activePid: number): void;
  /** Whether this worker may end the session of the one that has the slot, if it is set to. */
  mayTerminate(activePid: number): boolean;
  /** Streaming has begun. Returns where to bring what is received. */
  streaming(session: StreamSession): StreamSink;
  acknowledged(lsn: Lsn): void;
  /** From time to time while streaming, over the ordinary session. */
  inspect(session: Session): Promise<void>;
  /** Whether all that was received is handled. */
  settled(): boolean;
}

export interface StreamSession {
  /** The ordinary one. */
  readonly session: Session;
  readonly prepared: Prepared;
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly createdLsn: string | undefined;
  /** Of the walsender. */
  readonly pid: number;
}

export interface StreamSink extends CopySink {
  close(): void;
}

/** Least milliseconds between two acknowledgements; one for each transaction would cost more than decoding it. */
const acknowledgeInterval = 10;
const standbyInterval = 250;
const terminatedInterval = 5;
const inspectInterval = 10_000;
const maximumLsn = 0xffff_ffff_ffff_ffffn;

function heartbeatPrefix(slot: string): string {
  return `walwatch:heartbeat:${slot}`;
}

/**
 * One connection attempt: an ordinary session for the catalog, and the walsender's stream. It ends with either of them.
 */
export class Connection {
  readonly #options: ResolvedOptions;
  readonly #host: ConnectionHost;
  readonly #acknowledgement = new Acknowledgement();
  #source: Source | undefined;
  #session: Session | undefined;
  #sink: StreamSink | undefined;
  #failure: ((error: unknown) => void) | undefined;
  #timers: NodeJS.Timeout[] = [];
  #acknowledgeTimer: NodeJS.Timeout | undefined;
  #acknowledgedAt = 0;
  #paused = false;
  /** Of the heartbeat that was written and has not come back. */
  #heartbeatLsn: Lsn | undefined;
  #closed = false;
  #ended: Promise<void> | undefined;

  constructor(options: ResolvedOptions, host: ConnectionHost) {
    this.#options = options;
    this.#host = host;
  }

  /** Prepares and streams until the connection is lost or closed. Always rejects with the reason, unless it was closed. */
  async run(): Promise<void> {
    try {
      const { connection, connectTimeout, slot } = this.#options;
      const config = (name: string, settings: Record<string, string>): ClientConfig =>
        sessionConfig(connection, { name, connectTimeout, settings });
      const session = new Session(config(`${applicationName(slot.name)}:control`, {}));
      this.#session = session;
      await session.connect();
      let prepared = await this.#host.prepare(session);
      // What was true before a wait of hours need not be true after it.
      if (!slot.temporary && (await this.#waitForSlot(session))) prepared = await this.#host.prepare(session);
      const timeout = sessionTimeout(prepared.server.walSenderTimeout);
      await this.#stream(
        session,
        prepared,
        config(applicationName(slot.name), { wal_sender_timeout: `${timeout}ms` }),
        timeout,
      );
    } catch (error) {
      if (!this.#closed) throw error;
    } finally {
      if (!this.#closed) this.destroy();
    }
  }

  /** Ends the attempt with an error. */
  fail(error: unknown): void {
    this.#failure?.(error);
  }

  /** The ordinary one. */
  get session(): Session | undefined {
    return this.#session;
  }

  pause(): void {
    this.#paused = true;
    this.#source?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#source?.resume();
  }

  named(lsn: Lsn): void {
    this.#acknowledgement.named(lsn);
  }

  /** A position outside of transactions was reached. */
  reached(lsn: Lsn, confirmed: Lsn | undefined): void {
    this.#acknowledgement.reached(lsn);
    this.acknowledge(confirmed);
  }

  /** All before `confirmed` is handled: sent soon, together with what follows. */
  acknowledge(confirmed: Lsn | undefined): void {
    if (!this.#acknowledgement.advance(confirmed) || this.#acknowledgeTimer !== undefined) return;
    const wait = this.#acknowledgedAt + acknowledgeInterval - performance.now();
    if (wait <= 0) this.#sendAcknowledgement();
    else this.#acknowledgeTimer = setTimeout(() => this.#sendAcknowledgement(), wait);
  }

  /** A logical message was received. */
  heard(prefix: string): void {
    if (prefix === heartbeatPrefix(this.#options.slot.name)) this.#heartbeatLsn = undefined;
  }

  /** Asks the walsender how far it is: it answers with a keepalive. */
  ask(): void {
    this.#send(this.#acknowledgement.update(true));
  }

  reply(): void {
    this.#send(this.#acknowledgement.reply(this.#host.settled()));
  }

  /**
   * Sends what is handled and ends the stream as the protocol wants it, but waits at most `timeout`; then does what is
   * left to do over the ordinary session, and cuts both.
   */
  async close(timeout: number, afterwards?: (session: Session) => Promise<void>): Promise<void> {
    this.#closed = true;
    if (this.#source && this.#sink && this.#ended) {
      clearTimeout(this.#acknowledgeTimer);
      this.#sendAcknowledgement();
      this.#sink.close();
      this.#source.end();
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeout)));
      await Promise.race([this.#ended.then(() => this.#session && afterwards?.(this.#session)), patience]);
      clearTimeout(timer);
    }
    this.destroy();
  }

  destroy(): void {
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#acknowledgeTimer);
    this.#sink?.close();
    this.#source?.destroy();
    this.#session?.close();
    this.#failure?.(new Error('closed'));
  }

  /** While another worker has the slot, this one is its standby. Returns whether it had to wait. */
  async #waitForSlot(session: Session): Promise<boolean> {
    const { name, takeover } = this.#options.slot;
    for (let waited = false; ; waited = true) {
      const { rows } = await session.use((client) =>
        client.query<{ active_pid: number | null }>(
          'select active_pid from pg_catalog.pg_replication_slots where slot_name = $1',
          [name],
        ),
      );
      const pid = rows[0]?.active_pid;
      if (pid === null || pid === undefined) return waited;
      this.#host.standby(pid);
      const terminate = takeover === 'terminate' && this.#host.mayTerminate(pid);
      if (terminate) {
        await session.use((client) => client.query('select pg_catalog.pg_terminate_backend($1)', [pid]));
      }
      // Who was terminated connects again soon: be there first.
      await delay(terminate ? terminatedInterval : standbyInterval);
    }
  }

  async #stream(session: Session, prepared: Prepared, config: ClientConfig, timeout: number): Promise<void> {
    const { slot, publication, origin } = this.#options;
    const source = new Source({
      config,
      slot,
      publication: publication.name,
      origin,
      messages: true,
      server: prepared.server,
    });
    this.#source = source;
    const failed = new Promise<never>((_, reject) => (this.#failure = reject));
    failed.catch(() => {}); // raced below; it may come later
    const ended = source.run({
      started: ({ systemIdentifier, timeline, createdLsn, pid }) => {
        this.#sink = this.#host.streaming({ session, prepared, systemIdentifier, timeline, createdLsn, pid });
        this.#keepAlive(session, source, timeout, prepared.server.inRecovery);
      },
      message: (bytes, start, end) => this.#sink?.message(bytes, start, end),
      large: (type, length) => this.#sink?.large(type, length),
      keepalive: (walEnd, replyRequested) => this.#sink?.keepalive(walEnd, replyRequested),
    });
    this.#ended = ended.catch(() => {});
    const over = ended.then(() => {
      throw new WatchError('CONNECTION', 'the server ended the stream', { solution: 'It is tried again.' });
    });
    await Promise.race([over, session.lost, failed]);
  }

  #keepAlive(session: Session, source: Source, timeout: number, inRecovery: boolean): void {
    let bytesRead = source.bytesRead;
    let heardAt = performance.now();
    const interval = statusInterval(timeout);
    const tick = () => {
      const now = performance.now();
      if (source.bytesRead !== bytesRead || this.#paused) {
        bytesRead = source.bytesRead;
        heardAt = now;
      }
      const verdict = judgeSilence(now - heardAt, timeout, this.#paused);
      if (verdict === 'dead') {
        this.fail(
          new WatchError(
            'CONNECTION',
            `the server has been silent for ${Math.round(now - heardAt)} ms, although it was asked`,
            {
              solution: 'It is tried again. Look for a network or host that went away without closing the connection.',
            },
          ),
        );
        return;
      }
      this.#send(this.#acknowledgement.update(verdict === 'ask'));
    };
    const inspect = () => {
      this.#host.inspect(session).catch((error: unknown) => this.fail(error));
    };
    inspect();
    const { heartbeat } = this.#options;
    if (heartbeat && !inRecovery) {
      const beat = () => void this.#beat(session).catch((error: unknown) => this.fail(error));
      this.#timers.push(setInterval(beat, heartbeat));
    }
    this.#timers.push(setInterval(tick, interval), setInterval(inspect, inspectInterval));
  }

  /**
   * Writes a heartbeat, which must come back on the stream: what is in between works then. It may take as long as what
   * is decoded before it; but once the walsender has passed it, it has been sent.
   */
  async #beat(session: Session): Promise<void> {
    const before = this.#heartbeatLsn;
    if (before !== undefined) {
      if (this.#paused || this.#acknowledgement.write < before) return;
      throw new WatchError(
        'CONNECTION',
        `the heartbeat at ${formatLsn(before)} has not come back, although the server has passed it`,
        {
          solution: 'It is tried again. Does something between walwatch and PostgreSQL leave messages out?',
        },
      );
    }
    const prefix = heartbeatPrefix(this.#options.slot.name);
    this.#heartbeatLsn = maximumLsn; // it may come back before the answer
    const { rows } = await session.use((client) =>
      client.query<{ lsn: string }>(`select pg_catalog.pg_logical_emit_message(false, $1, '')::text as lsn`, [prefix]),
    );
    if (this.#heartbeatLsn !== undefined) this.#heartbeatLsn = parseLsn(rows[0]!.lsn);
  }

  #sendAcknowledgement(): void {
    this.#acknowledgeTimer = undefined;
    this.#acknowledgedAt = performance.now();
    this.#send(this.#acknowledgement.update(false));
  }

  /** Whatever it is sent for, what it acknowledges must be known: a slot that is further looks as if somebody had moved it. */
  #send(update: StatusUpdate): void {
    this.#source?.sendStatus(update);
    if (update.flush > 0n) this.#host.acknowledged(update.flush);
  }
}
