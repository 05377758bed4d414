/** The words that statements in our texts begin with. */
const begins =
  /(?<=^|[\s(:])(?:(?:ALTER|COMMENT ON|CREATE|DROP|GRANT|REVOKE|SELECT|SET|RESET|ROLLBACK PREPARED|VACUUM|DO) |(?:BEGIN|COMMIT|ROLLBACK);)/g;

/** A part of a text: a statement with its semicolon, or what is said around it. */
interface Part {
  readonly sql: boolean;
  readonly text: string;
}

/**
 * A solution as something that can be pasted into psql: its statements as they are, and what is said around them as comments.
 * A text without statements stays a text.
 */
export function pasteable(solution: string): string {
  const parts = partsOf(solution);
  if (!parts.some(({ sql }) => sql)) return solution;
  const lines: string[] = [];
  let statements: string[] = [];
  const flush = () => {
    if (statements.length > 0) lines.push(statements.join(' '));
    statements = [];
  };
  for (const { sql, text } of parts) {
    if (sql) statements.push(text);
    else {
      const said = text.replaceAll(/^[\s;,.]+|\s+$/g, '');
      if (said === '') continue;
      flush();
      lines.push(...said.split('\n').map((line) => `-- ${line.replace(/^\s*(-- ?)?/, '')}`));
    }
  }
  flush();
  return lines.join('\n');
}

/** The statements of a text, each with its semicolon. */
export function statementsOf(text: string): string[] {
  return partsOf(text).flatMap((part) => (part.sql ? [part.text] : []));
}

function partsOf(text: string): Part[] {
  const parts: Part[] = [];
  let said = 0;
  begins.lastIndex = 0;
  for (let match = begins.exec(text); match; match = begins.exec(text)) {
    const end = endOf(text, match.index);
    // Prose, or something to be filled in.
    if (end === undefined || text.slice(match.index, end).includes('…')) continue;
    parts.push({ sql: false, text: text.slice(said, match.index) }, { sql: true, text: text.slice(match.index, end) });
    said = begins.lastIndex = end;
  }
  parts.push({ sql: false, text: text.slice(said) });
  return parts;
}

/** Where the statement that begins at `start` ends: after its semicolon, which is in no quotes. */
function endOf(text: string, start: number): number | undefined {
  const token = /;|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$\w*\$)[^]*?\1/g;
  token.lastIndex = start;
  for (let match = token.exec(text); match; match = token.exec(text)) if (match[0] === ';') return token.lastIndex;
  return undefined;
}
