import { createHash } from 'node:crypto';

// https://docs.nats.io/nats-concepts/subjects: tokens are parted by dots; *, > and white space have a meaning.
const plain = /^[A-Za-z0-9_:-]+$/;
const unsafe = /[^A-Za-z0-9_:-]/;
/** Longer tokens are replaced by their hash: a server takes no subject of more than some thousand bytes. */
const longest = 128;

/** The last token of events that have no key: `truncated`. No text is encoded to it. */
export const noKey = '=-';

/**
 * Any text as one token of a subject, different for different texts. Letters, digits, `_`, `:` and `-` stand for
 * themselves, other bytes of UTF-8 are `=` and two hexadecimal digits, nothing is `=`, and what is too long is `==` and
 * its SHA-256.
 */
export function subjectToken(text: string): string {
  if (text.length <= longest && plain.test(text)) return text;
  if (text === '') return '=';
  let token = '';
  for (const character of text) {
    token += unsafe.test(character)
      ? Buffer.from(character).reduce(
          (bytes, byte) => `${bytes}=${byte.toString(16).toUpperCase().padStart(2, '0')}`,
          '',
        )
      : character;
    if (token.length > longest) return `==${createHash('sha256').update(text).digest('hex')}`;
  }
  return token;
}

/** Where all events of a slot go. */
export function slotSubject(slot: string): string {
  return `walwatch.${slot}.>`;
}

/** Where all events of one watcher go. */
export function watcherSubject(slot: string, watcher: string): string {
  return watcherTokenSubject(slot, subjectToken(watcher));
}

export function watcherTokenSubject(slot: string, token: string): string {
  return `walwatch.${slot}.${token}.>`;
}

/** Where the events of one record go: `key` is the token of its key. */
export function eventSubject(slot: string, watcherToken: string, key: string): string {
  return `walwatch.${slot}.${watcherToken}.${key}`;
}

/** The token of the watcher in an event's subject. */
export function watcherTokenOf(subject: string): string {
  return subject.split('.', 3)[2] ?? '';
}

/** The slot whose events a stream carries, by the subjects that it is configured with. */
export function slotOf(subjects: readonly string[]): string | undefined {
  for (const subject of subjects) {
    const slot = /^walwatch\.([a-z0-9_]{1,63})\.>$/.exec(subject)?.[1];
    if (slot !== undefined) return slot;
  }
  return undefined;
}

/** Where a process puts what its handlers could not handle. */
export function deadLetterSubject(slot: string, group: string, subscription: string): string {
  return `walwatch_dead_letters.${slot}.${subjectToken(group)}.${subjectToken(subscription)}`;
}

/** Where the processes of a group note something. Undefined: of all groups. */
export function groupSubject(slot: string, group: string | undefined, path: readonly string[]): string {
  return ['walwatch_groups', slot, ...(group === undefined ? [] : [subjectToken(group)]), ...path].join('.');
}
