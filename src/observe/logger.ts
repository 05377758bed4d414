import { pino } from 'pino';
import type { Logger } from '../types/logger.ts';

/** The user's logger with the slot in every line; without a logger, a silent one. */
export function bindLogger(logger: Logger = pino({ enabled: false }), bindings: Record<string, unknown>): Logger {
  return logger.child?.(bindings) ?? logger;
}
