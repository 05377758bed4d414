import pg from 'pg';
import type { CustomTypesConfig } from 'pg';

/**
 * The application's parsers, but a value that they cannot parse stays PostgreSQL's text: JavaScript has no dates after the year
 * 275760, and a parser may throw.
 */
export function lenientTypes(types: CustomTypesConfig | undefined): CustomTypesConfig {
  const own = new pg.TypeOverrides(types);
  const asText = pg.types.getTypeParser(pg.types.builtins.TEXT, 'text');
  return {
    getTypeParser: (oid, format) => {
      const parse = own.getTypeParser(oid, format as 'text') as unknown as (text: string) => unknown;
      if (parse === asText) return parse;
      return (text: string) => {
        try {
          const value = parse(text);
          return isRepresentable(value) ? value : text;
        } catch {
          return text;
        }
      };
    },
  } as CustomTypesConfig;
}

/** Whether a value represents PostgreSQL's text. */
function isRepresentable(value: unknown): boolean {
  if (value instanceof Date) return !Number.isNaN(value.getTime());
  return !Array.isArray(value) || value.every(isRepresentable);
}
