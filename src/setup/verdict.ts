import type { RetryClass, WatchErrorCode } from '../errors.ts';

/** What is known when an error arrives. */
export interface Circumstances {
  readonly slot: string;
  readonly publication: string;
  /** This process has streamed before: what worked once may work again without a change here. Default false. */
  readonly streamed?: boolean;
  /** The password comes from a function: its next one may be right. Default false. */
  readonly passwordFunction?: boolean;
  /** The server of this attempt is a standby, as far as it was asked. */
  readonly inRecovery?: boolean | undefined;
  /** Where the slot stands. */
  readonly confirmed?: string | undefined;
  /** `onLost: 'recreate'`, and this process may do so. Default false. */
  readonly recreates?: boolean;
}

/** What one error of PostgreSQL, pg or Node means. */
export interface Verdict {
  readonly code: WatchErrorCode;
  readonly message: string;
  /** `untilStreamed`: final at a first start, tried again slowly once this process has streamed. */
  readonly retry: RetryClass | 'untilStreamed';
  /** Without the sentence that walwatch tries again. */
  readonly solution: string;
}
