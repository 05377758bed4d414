/*
 * The one place that takes secrets out of text. What cannot be read for sure is left out: rather too much than a password.
 * Every step is linear in the length of the text, because a message may come from somebody hostile.
 */

const hidden = '***';

/** Shorter ones are too common in ordinary text to be looked for; where a connection string is recognized, they are left out all the same. */
const shortest = 4;

/** The text without passwords of connection strings of any form, and without the `known` secrets. */
export function redact(text: string, known: Iterable<string> = []): string {
  let shown = withoutParameters(text);
  for (const secret of [...known].toSorted((a, b) => b.length - a.length)) {
    if (secret.length >= shortest) shown = shown.replaceAll(secret, hidden);
  }
  return withoutUserinfo(shown);
}

/** `password=…`, as in keyword DSNs, queries of URLs and environments; and `password: '…'`, as in printed objects. */
const parameter = /(?:pass(?:word|wd|phrase)?|pwd)["']?\s{0,9}(?:=|:\s{0,9}(?=["'`]))\s{0,9}/gi;
const quoted = /'(?:[^'\\]|\\[^])*'|"(?:[^"\\]|\\[^])*"/y;

/** A value may hold spaces, quotes and `&` that its writer forgot to escape, so nothing of the line is kept. */
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

/** Begins a URL in the middle of a text, so that an `@` behind it is none of the URL before. */
const anotherUrl = /[\s,;'"(]\w{1,20}:\/\//g;

/** `scheme://user:…@`, `//user:…@` and `user:…@`. A password may hold `@`, `/` and spaces: it ends at the last `@`. */
function withoutUserinfo(text: string): string {
  let shown = '';
  let from = 0;
  for (let slashes = text.indexOf('//'); slashes !== -1; slashes = text.indexOf('//', from)) {
    const before = text.slice(from, slashes);
    // A colon before them that is not of the scheme: they are part of a password.
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

/** What somebody gave for something else: if it is a connection string of any form, it is all of it. */
export function redactValue(value: string): string {
  const text = withoutParameters(value);
  const colon = text.search(/:(?!\/\/)/);
  const at = text.lastIndexOf('@');
  return redact(colon !== -1 && colon < at ? `${text.slice(0, colon + 1)}${hidden}${text.slice(at)}` : text);
}

/** What stands behind the first colon is neither a port nor nothing. */
const noPort = /^[^\s/@:[\]]*:(?!\d*(?:[/?#\s,;.'")]|$))/;
/** Characters that a password with line ends is looked for behind its line. */
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

/** What comes behind the `//`. */
function redactedUrl(rest: string): string {
  const at = rest.lastIndexOf('@');
  const colon = rest.indexOf(':');
  if (colon === -1 || (at !== -1 && colon > at)) return rest;
  // Without an `@` there is no telling where it ends.
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

/** Passwords that are no secrets, and would take half of every message with them. */
const ordinary = new Set(['postgres', 'postgresql', 'password', 'walwatch']);

/** What of a connection, in any of its forms, must not be shown: also where it was mistyped and another part is meant to be it. */
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
    return text; // a % that encodes nothing
  }
}
