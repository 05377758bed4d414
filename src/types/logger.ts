/** The part of pino that is used. */
export interface Logger {
  /** Each step of watchers with `debug`. */
  debug(fields: object, message?: string): void;
  /** Connections, standing by, schema changes. */
  info(fields: object, message?: string): void;
  /** What to look into: warnings, gaps, failed handlers, lost connections. */
  warn(fields: object, message?: string): void;
  /** What ended the watch. */
  error(fields: object, message?: string): void;
  /** If there is one, every line gets the slot's name by it. */
  child?(bindings: Record<string, unknown>): Logger;
}
