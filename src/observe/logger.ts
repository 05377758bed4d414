/** The part of pino that is used. */
export interface Logger {
  debug(fields: object, message?: string): void;
  info(fields: object, message?: string): void;
  warn(fields: object, message?: string): void;
  error(fields: object, message?: string): void;
  child?(bindings: Record<string, unknown>): Logger;
}

const nothing = () => {};
const silent: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** The user's logger with the slot in every line, or one that is silent. */
export function bindLogger(logger: Logger | undefined, bindings: Record<string, unknown>): Logger {
  return logger?.child?.(bindings) ?? logger ?? silent;
}
