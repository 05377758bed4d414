/*
 * The only place that removes secrets from text. If it is unclear where a secret ends, it removes too much rather than too little.
 * Every step takes time linear in the length of the text: an attacker may choose the text.
 */

const hidden = '***';

/** Shorter secrets occur in ordinary text, so they are not searched for. In recognized connection strings they are removed all the same. */
const shortest = 4;

/** Removes the passwords of connection strings of any form, and the `known` secrets. */
export function redact(text: string, known: Iterable<string> = []): string {
  let shown = withoutParameters(text);
  for (const secret of [...known].toSorted((a, b) => b.length - a.length)) {
    if (secret.length >= shortest) shown = shown.replaceAll(secret, hidden);
  }
  return withoutUserinfo(shown);
}

/** `password=…` as in keyword DSNs, URL queries and environments; `password: '…'` as in printed objects. */
const parameter = /(?:pass(?:word|wd|phrase)?|pwd)["']?\s{0,9}(?:=|:\s{0,9}(?=["'`]))\s{0,9}/gi;
const quoted = /'(?:[^'\\]|\\[^])*'|"(?:[^"\\]|\\[^])*"/y;

/** A value may contain spaces, quotes and `&` that were not escaped, so the rest of the line is removed. */
function withoutParameters(text: string): string {
  let shown = '';
  let kept = 0;
  for (const { 0: found, index } of text.matchAll(parameter)) {
    if (index < kept) continue;
    const begin = index + found.length;
    quoted.lastIndex = begin;
    const inside = quoted.exec(text)?.[0].length ?? 0;
    const end = endOfLine(text, begin + inside);
    if (end === begin) continue;
    shown += text.slice(kept, begin) + hidden;
    kept = end;
  }
  return shown + text.slice(kept);
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end === -1 ? text.length : end;
}

/** Matches the start of another URL in the text: an `@` after it does not belong to the URL before. A scheme begins with a letter (RFC 3986). */
const anotherUrl = /[\s,;'"(][a-z]\w{0,19}:\/\//gi;

/** Handles `scheme://user:…@`, `//user:…@` and `user:…@`. A password may contain `@`, `/` and spaces: it ends at the last `@`. */
function withoutUserinfo(text: string): string {
  let shown = '';
  let from = 0;
  for (let slashes = text.indexOf('//'); slashes !== -1; slashes = text.indexOf('//', from)) {
    const before = text.slice(from, slashes);
    // A colon before the slashes that does not belong to the scheme: the slashes are part of a password.
    const colon = before.indexOf(':', before.search(/\S*$/));
    const within = colon !== -1 && colon < before.length - 1;
    const begin = within ? from + colon + 1 : slashes + 2;
    const end = endOfUrl(text, begin);
    const url = text.slice(begin, end);
    shown += withoutBareUserinfo(text.slice(from, within ? begin : slashes));
    shown += within ? redactedUrl(`:${url}`).slice(1) : `//${redactedUrl(url)}`;
    from = end;
  }
  return shown + withoutBareUserinfo(text.slice(from));
}

/** Redacts a value that was given for another option. If it looks like a connection string, all of it is one. */
export function redactValue(value: string): string {
  const text = withoutParameters(value);
  const colon = text.search(/:(?!\/\/)/);
  const at = text.lastIndexOf('@');
  return redact(colon !== -1 && colon < at ? `${text.slice(0, colon + 1)}${hidden}${text.slice(at)}` : text);
}

/** Matches if the text after the first colon is neither a port nor empty. */
const noPort = /^[^\s/@:[\]]*:(?!\d*(?:[/?#\s,;.'")]|$))/;
/** A password with line breaks may end in a later line: how many characters to search for its `@`. */
const furthest = 1000;

function endOfUrl(text: string, from: number): number {
  const end = endOfLine(text, from);
  const line = text.slice(from, end);
  const at = line.indexOf('@');
  if (at === -1) {
    if (!noPort.test(line)) return end;
    const later = text.slice(end, end + furthest).indexOf('@');
    return later === -1 ? end : endOfLine(text, end + later);
  }
  anotherUrl.lastIndex = 0;
  let next = anotherUrl.exec(line);
  if (next && next.index < at && noPort.test(line.slice(0, next.index))) {
    anotherUrl.lastIndex = at;
    next = anotherUrl.exec(line);
  }
  return next ? from + next.index : end;
}

/** Redacts the part after the `//`. */
function redactedUrl(rest: string): string {
  const at = rest.lastIndexOf('@');
  const colon = rest.indexOf(':');
  if (colon === -1 || (at !== -1 && colon > at)) return rest;
  // Without an `@` it is unknown where the password ends.
  if (at === -1) return noPort.test(rest) ? `${rest.slice(0, colon + 1)}${hidden}` : rest;
  const password = rest.slice(colon + 1, at);
  return password.toLowerCase() === 'password' ? rest : `${rest.slice(0, colon + 1)}${hidden}${rest.slice(at)}`;
}

function withoutBareUserinfo(text: string): string {
  if (!text.includes('@')) return text;
  return text
    .split(/(\s+)/)
    .map((word) => {
      const at = word.lastIndexOf('@');
      const colon = word.indexOf(':');
      return colon > 0 && colon < at - 1 ? `${word.slice(0, colon + 1)}${hidden}${word.slice(at)}` : word;
    })
    .join('');
}

/** Common passwords that protect nothing. Removing these words would make messages unreadable. */
const ordinary = new Set(['postgres', 'postgresql', 'password', 'walwatch']);

/** The secrets in a connection, whatever its form. It may be mistyped, so that its password ends up in another part. */
export function secretsOf(connection: unknown): string[] {
  const found = new Set<string>();
  const add = (secret: unknown) => {
    if (typeof secret !== 'string' || secret === '' || ordinary.has(secret)) return;
    const decoded = decode(secret);
    for (const form of [secret, decoded, encodeURIComponent(decoded), encodeURI(decoded)]) {
      found.add(form);
      found.add(JSON.stringify(form).slice(1, -1));
    }
  };
  if (typeof connection === 'string') for (const secret of secretsOfText(connection)) add(secret);
  else if (typeof connection === 'object' && connection !== null) {
    for (const [name, value] of Object.entries(connection)) {
      if (/pass|secret|token/i.test(name)) add(value);
      else if (typeof value === 'string') for (const secret of secretsOfText(value)) add(secret);
    }
  }
  return [...found];
}

function* secretsOfText(text: string): Iterable<string> {
  const authority = text.replace(/^\s*(?:(?:socket|jdbc|postgres(?:ql)?):|\w+:(?=\/\/))*\/{0,3}/, '');
  const colon = authority.indexOf(':');
  const at = authority.lastIndexOf('@');
  if (colon !== -1 && at > colon) {
    yield authority.slice(colon + 1, at);
    yield authority.slice(colon + 1, authority.indexOf('@', colon));
  }
  for (const { 0: found, index } of text.matchAll(parameter)) {
    const value = text.slice(index + found.length, endOfLine(text, index + found.length));
    yield value;
    yield value.split('&')[0]!;
    yield value.split(/\s/)[0]!;
    quoted.lastIndex = index + found.length;
    const inside = quoted.exec(text)?.[0].slice(1, -1);
    if (inside !== undefined) yield inside.replaceAll(/\\([^])/g, '$1');
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // has a % that starts no escape
  }
}
