import type { CapturedChange } from './change.ts';
import type { CapturedCommit } from './commit.ts';
import type { CapturedMessage } from './message.ts';

/** Something that was received and is passed on to the handlers. */
export type CapturedItem = CapturedChange | CapturedMessage | CapturedCommit;

/** One stage between the stream and the handlers: the gate or the router. */
export interface Stage {
  push(captured: CapturedItem): void;
}

/** The source of a watch's changes. */
export interface ChangeSource {
  /** One attempt: reads until the connection is lost. Rejects with the cause. Resolves after `close()`. */
  run(): Promise<void>;
  /** Pauses reading, because undelivered changes take too much memory. */
  pause(): void;
  resume(): void;
  /** Stops reading for good. Called before the watch waits for running handlers. */
  end(): void;
  /** Acknowledges all handled changes and closes all connections. Waits at most `timeout` milliseconds. */
  close(timeout: number): Promise<void>;
}

/** What a source reports to its watch. */
export interface SourceListener {
  /** Another worker has the slot, and this one waits. */
  standby(activePid: number): void;
  /** Changes arrive from now on. `gap`: some changes before them were missed. */
  streaming(facts: {
    readonly confirmedLsn?: string | undefined;
    readonly gap?: { readonly from: string | undefined; readonly to: string; readonly reason: string } | undefined;
  }): void;
}
