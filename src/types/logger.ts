/** The methods of pino's logger that walwatch calls. */
export interface Logger {
  /** Each step of watchers with `debug`. */
  debug(fields: object, message?: string): void;
  /** Connections, standing by for a slot, schema changes. */
  info(fields: object, message?: string): void;
  /** Problems that do not end the watch: warnings, gaps, failed handlers, lost connections. */
  warn(fields: object, message?: string): void;
  /** The error that ended the watch. */
  error(fields: object, message?: string): void;
  /** If present, walwatch calls it once, so that every line carries the slot's name. */
  child?(bindings: Record<string, unknown>): Logger;
}
