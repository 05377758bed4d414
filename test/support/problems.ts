import { ConfigurationError } from '../../src/errors.ts';

/** The problems of a `ConfigurationError`; empty if none is thrown. */
export function problemsOf(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigurationError) return error.issues.map(({ message }) => message);
    throw error;
  }
  return [];
}
