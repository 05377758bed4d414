import type { CapturedChange } from './change.ts';
import type { CapturedCommit } from './commit.ts';
import type { CapturedMessage } from './message.ts';

/** What was received and is on its way to the handlers. */
export type CapturedItem = CapturedChange | CapturedMessage | CapturedCommit;

/** One stage of the way from the stream to the handlers: the gate or the router. */
export interface Stage {
  push(captured: CapturedItem): void;
}

/** Where the changes of a watch come from. */
export interface ChangeSource {
  /** One attempt: reads until the connection is lost. Rejects with the cause; resolves after `close()`. */
  run(): Promise<void>;
  /** Reads no more for now, because undelivered changes take too much memory. */
  pause(): void;
  resume(): void;
  /** Reads no more for good. Called before the handlers that run are waited for. */
  end(): void;
  /** Acknowledges what is handled and closes all connections, but waits at most `timeout` milliseconds. */
  close(timeout: number): Promise<void>;
}

/** What a source tells its watch. */
export interface SourceListener {
  /** Another worker has the slot: this one waits. */
  standby(activePid: number): void;
  /** Changes come from now on. `gap`: some were not seen before them. */
  streaming(facts: {
    readonly confirmedLsn?: string | undefined;
    readonly gap?: { readonly from: string | undefined; readonly to: string; readonly reason: string } | undefined;
  }): void;
}
