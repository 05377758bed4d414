import { JetStreamApiError, type StoredMsg } from '@nats-io/jetstream';
import { WatchError } from '../errors.ts';
import { type JetStreamAccess, clientOf, managerOf } from './access.ts';
import { classifyNats } from './classify.ts';
import { isMissing, makeBeside } from './stream.ts';
import { groupSubject } from './subjects.ts';

export interface GroupNotesHost {
  readonly access: JetStreamAccess;
  /** The stream of the events. */
  readonly stream: string;
  readonly group: string;
  /** The slot of the worker that relays. */
  slot(): string;
  warn(warning: WatchError): void;
}

/**
 * Notes that the processes of a group share, in a separate stream: the last message of a subject is a note. The state of the
 * consumer cannot serve: the server moves it when the stream is purged, and it is deleted together with stream or consumer.
 */
export class GroupNotes {
  readonly #host: GroupNotesHost;
  readonly #name: string;
  #failed = false;

  constructor(host: GroupNotesHost) {
    this.#host = host;
    this.#name = `${host.stream}_groups`;
  }

  /** Returns undefined if the note does not exist or cannot be read. */
  async read<T>(...path: readonly string[]): Promise<T | undefined> {
    return this.#try(async () => (await this.#get(path))?.json<T>());
  }

  /** Returns undefined only if the note does not exist. @throws WatchError if it cannot be read at the moment */
  async find<T extends object>(...path: readonly string[]): Promise<T | 'denied' | undefined> {
    try {
      return (await this.#get(path))?.json<T>();
    } catch (cause) {
      return this.#denied(cause);
    }
  }

  /** Milliseconds since a note was written, by the server's clock. Infinity if it does not exist, undefined if it cannot be read at the moment. */
  async age(...path: readonly string[]): Promise<number | undefined> {
    try {
      const found = await this.#get(path);
      if (!found) return Infinity;
      const { streams } = await managerOf(this.#host.access);
      const { ts } = await streams.info(this.#name);
      return (ts ? Date.parse(ts) : Date.now()) - found.time.getTime();
    } catch (cause) {
      return isDenied(cause) ? Infinity : undefined;
    }
  }

  async write(note: unknown, ...path: readonly string[]): Promise<void> {
    await this.#try(async () => {
      const publish = (retries = 1) =>
        clientOf(this.#host.access).publish(this.#subject(path), JSON.stringify(note), {
          expect: { streamName: this.#name },
          retries,
        });
      await publish().catch(async () => {
        await this.#make();
        await publish(4); // another process may have made the stream: the server lists it before it takes messages
      });
    });
  }

  async erase(...path: readonly string[]): Promise<void> {
    await this.#try(async () => {
      const { streams } = await managerOf(this.#host.access);
      await streams.purge(this.#name, { filter: this.#subject(path) });
    });
  }

  /** The last tokens of all notes under a path. Empty if the user may not read notes, undefined if they cannot be read at the moment. */
  async list(...path: readonly string[]): Promise<readonly string[] | undefined> {
    try {
      const { streams } = await managerOf(this.#host.access);
      const { state } = await streams.info(this.#name, { subjects_filter: `${this.#subject(path)}.>` });
      return Object.keys(state.subjects ?? {}).map((subject) => subject.slice(subject.lastIndexOf('.') + 1));
    } catch (cause) {
      if (isNone(cause)) return [];
      this.#tell(cause);
      return isDenied(cause) ? [] : undefined;
    }
  }

  #subject(path: readonly string[]): string {
    return groupSubject(this.#host.slot(), this.#host.group, path);
  }

  async #get(path: readonly string[]): Promise<StoredMsg | undefined> {
    const { streams } = await managerOf(this.#host.access);
    try {
      return (await streams.getMessage(this.#name, { last_by_subj: this.#subject(path) })) ?? undefined;
    } catch (cause) {
      if (isNone(cause)) return undefined;
      throw cause;
    }
  }

  /** Without the permission a group works without notes. Any other failure is temporary. */
  #denied(cause: unknown): 'denied' {
    const { group } = this.#host;
    const { code, message, solution } = classifyNats(cause, this.#name);
    if (code !== 'PERMISSION') {
      throw new WatchError(
        code,
        `the position of the group '${group}' could not be read from the stream '${this.#name}': ${message}`,
        { solution: solution ?? `nats stream info ${this.#name}`, cause },
      );
    }
    this.#tell(cause);
    return 'denied';
  }

  /** A group also works without notes, with weaker guarantees. It warns once. */
  async #try<T>(task: () => Promise<T>): Promise<T | undefined> {
    try {
      return await task();
    } catch (cause) {
      if (!isNone(cause)) this.#tell(cause);
      return undefined;
    }
  }

  #tell(cause: unknown): void {
    // Without a connection everything fails, and the source reports it.
    const isLost = this.#host.access.connection.isClosed() || (cause as Error).name === 'TimeoutError';
    if (this.#failed || isLost) return;
    this.#failed = true;
    this.#host.warn(unnoted(this.#host.group, this.#name, cause));
  }

  async #make(): Promise<void> {
    const { access, stream, group } = this.#host;
    const config = {
      name: this.#name,
      subjects: [groupSubject(this.#host.slot(), undefined, ['>'])],
      description: `Notes of the groups that read ${stream}: ${group} and others`,
      max_msgs_per_subject: 1,
    };
    await makeBeside(await managerOf(access), stream, config, notesBytes);
  }
}

/** https://github.com/nats-io/nats-server/blob/main/server/errors.json: JSNoMessageFoundErr */
const noMessage = 10037;
/** Bytes, if the stream of the events has a limit: some accounts require one. */
const notesBytes = 16 * 1024 * 1024;

/** The note does not exist. */
function isNone(error: unknown): boolean {
  return isMissing(error) || (error instanceof JetStreamApiError && error.code === noMessage);
}

function isDenied(error: unknown): boolean {
  return classifyNats(error, '').code === 'PERMISSION';
}

function unnoted(group: string, name: string, cause: unknown): WatchError {
  const { code, message, solution } = classifyNats(cause, name);
  return new WatchError(
    code,
    `the group '${group}' cannot save its position in the stream '${name}': ${message}. Until this works, the group does not notice events that are dropped while none of its processes runs, calls a handler that crashes its process without end, and may lose events of watchers that only some of its processes have`,
    { solution: solution ?? `nats stream info ${name}`, cause },
  );
}
