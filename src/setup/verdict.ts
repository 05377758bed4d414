import type { RetryClass, WatchErrorCode } from '../errors.ts';

/** The situation in which an error arrives. */
export interface Circumstances {
  readonly slot: string;
  readonly publication: string;
  /** This process has streamed before. What worked once may work again without a change here. Default false. */
  readonly streamed?: boolean;
  /** The password comes from a function, which may return a valid one next time. Default false. */
  readonly passwordFunction?: boolean;
  /** Whether the server of this attempt is a standby. Undefined: unknown. */
  readonly inRecovery?: boolean | undefined;
  /** The slot's position. */
  readonly confirmed?: string | undefined;
  /** The slot has `onLost: 'recreate'`, and this process may re-create it. Default false. */
  readonly recreates?: boolean;
}

/** The meaning of an error of PostgreSQL, pg or Node. */
export interface Verdict {
  readonly code: WatchErrorCode;
  readonly message: string;
  /** `untilStreamed`: final at a first start, retried slowly after this process has streamed. */
  readonly retry: RetryClass | 'untilStreamed';
  /** Without the sentence that says that walwatch tries again. */
  readonly solution: string;
}
