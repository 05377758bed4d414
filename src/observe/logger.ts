import { pino } from 'pino';

/** The part of pino that is used. */
export interface Logger {
  debug(fields: object, message?: string): void;
  info(fields: object, message?: string): void;
  warn(fields: object, message?: string): void;
  error(fields: object, message?: string): void;
  child?(bindings: Record<string, unknown>): Logger;
}

/** The user's logger with the slot in every line; without one, a logger that is silent. */
export function bindLogger(logger: Logger = pino({ enabled: false }), bindings: Record<string, unknown>): Logger {
  return logger.child?.(bindings) ?? logger;
}
