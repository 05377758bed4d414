/** Text in quotes of any kind. */
const quoted = /'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$\w*\$)[^]*?\1/g;

/** The first words of the statements in our texts; and comments, which contain no statements. */
const begins =
  /(?<=^|[\s(:])(?:(?:ALTER|COMMENT ON|CREATE|DROP|GRANT|REVOKE|SELECT|SET|RESET|ROLLBACK PREPARED|VACUUM|DO) |(?:BEGIN|COMMIT|ROLLBACK);)|(?<=^|[\s;])-- [^\n]*/g;

/** A part of a text: a statement with its semicolon, or the words around it. */
interface Part {
  readonly sql: boolean;
  readonly text: string;
}

/** Words, and the statements that directly follow them. */
interface Block {
  readonly said: string;
  readonly statements: string[];
  /** Whether pasting runs them. */
  readonly run: boolean;
}

/**
 * Turns a solution into something that can be pasted into psql: statements stay, the words around them become comments. A
 * statement that drops or ends something, or is one of several choices, becomes a comment too, with everything after it. So
 * pasting runs the first choice and nothing that a person has to decide. A text without statements stays as it is.
 */
export function pasteable(solution: string): string {
  const blocks = blocksOf(solution);
  if (blocks.every(({ statements }) => statements.length === 0)) return solution;
  return blocks
    .flatMap(({ said, statements, run }) => {
      const sql = statements.join(' ');
      return [commented(said), run ? sql : commented(sql)];
    })
    .filter((lines) => lines !== '')
    .join('\n');
}

/** The statements of a text, without comments, each with its semicolon. */
export function statementsOf(text: string): string[] {
  return partsOf(text).flatMap((part) => (part.sql ? [part.text] : []));
}

function commented(text: string): string {
  return text === '' ? '' : text.replaceAll(/^\s*(?:-- ?)?/gm, '-- ');
}

function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  let run = true;
  let block: Block | undefined;
  for (const part of partsOf(text)) {
    if (!part.sql) {
      const said = part.text.replaceAll(/^[\s;,.)]+|\s+$/g, '');
      // A condition for the statements before it.
      if (block?.run && onlyIf.test(part.text)) Object.assign(block, { run: (run = false) });
      if (block && said === '') continue;
      if (isChoice(said)) run = false;
      blocks.push((block = { said, statements: [], run }));
    } else {
      block!.statements.push(part.text);
      if (takesAway(part.text)) Object.assign(block!, { run: (run = false) });
    }
  }
  return blocks;
}

/** Matches `; -- only if nothing needs it`. */
const onlyIf = /^[ ;,.]*(?:-- ?|\()(?:only )?(?:if|when|unless)\b/i;

/** Whether the last sentence before a statement leaves it to the reader to run the statement. */
function isChoice(said: string): boolean {
  return /^\(|\b(?:or|if|when|unless|otherwise|else)\b/i.test(said.split(/[.;]\s+/).at(-1)!);
}

/** Dropping a table from a publication is allowed: that is the fix, and the table can be added again. */
function takesAway(statement: string): boolean {
  if (/pg_drop_replication_slot|pg_terminate_backend|^ROLLBACK PREPARED/i.test(statement)) return true;
  return !/^ALTER PUBLICATION\b/i.test(statement) && /\bDROP\b/i.test(statement.replaceAll(quoted, ''));
}

function partsOf(text: string): Part[] {
  const parts: Part[] = [];
  let said = 0;
  begins.lastIndex = 0;
  for (let match = begins.exec(text); match; match = begins.exec(text)) {
    if (match[0].startsWith('--')) continue;
    const end = endOf(text, match.index);
    // Prose, or a statement with a placeholder.
    if (end === undefined || text.slice(match.index, end).includes('…')) continue;
    parts.push({ sql: false, text: text.slice(said, match.index) }, { sql: true, text: text.slice(match.index, end) });
    said = begins.lastIndex = end;
  }
  parts.push({ sql: false, text: text.slice(said) });
  return parts;
}

/** The end of the statement that begins at `start`: after the first semicolon outside quotes. */
function endOf(text: string, start: number): number | undefined {
  const token = new RegExp(`;|${quoted.source}`, 'g');
  token.lastIndex = start;
  for (let match = token.exec(text); match; match = token.exec(text)) if (match[0] === ';') return token.lastIndex;
  return undefined;
}
