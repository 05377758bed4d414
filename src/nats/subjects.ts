import { createHash } from 'node:crypto';

// https://docs.nats.io/nats-concepts/subjects: dots separate tokens; *, > and white space have a meaning.
const plain = /^[A-Za-z0-9_:-]+$/;
const unsafe = /[^A-Za-z0-9_:-]/;
/** A longer token is replaced by its hash: servers refuse subjects of more than a few thousand bytes. */
const longest = 128;

/** The last token for `truncated` events, which have no key. No other text is encoded to it. */
export const noKey = '=-';

/**
 * Encodes any text as one token of a subject. Different texts give different tokens. Letters, digits, `_`, `:` and `-` stay as
 * they are. Any other UTF-8 byte becomes `=` and two hexadecimal digits. An empty text becomes `=`, and a text that is too long
 * becomes `==` and its SHA-256.
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

/** The subjects of all events of a slot. */
export function slotSubject(slot: string): string {
  return `walwatch.${slot}.>`;
}

/** The subjects of all events of one watcher. */
export function watcherSubject(slot: string, watcher: string): string {
  return watcherTokenSubject(slot, subjectToken(watcher));
}

export function watcherTokenSubject(slot: string, token: string): string {
  return `walwatch.${slot}.${token}.>`;
}

/** The subject of the events of one record. `key` is the token of its key. */
export function eventSubject(slot: string, watcherToken: string, key: string): string {
  return `walwatch.${slot}.${watcherToken}.${key}`;
}

/** The token of the watcher in an event's subject. */
export function watcherTokenOf(subject: string): string {
  return subject.split('.', 3)[2] ?? '';
}

/** The slot whose events a stream carries, according to its subjects. */
export function slotOf(subjects: readonly string[]): string | undefined {
  for (const subject of subjects) {
    const slot = /^walwatch\.([a-z0-9_]{1,63})\.>$/.exec(subject)?.[1];
    if (slot !== undefined) return slot;
  }
  return undefined;
}

/** The subject of the dead letters of one subscription. */
export function deadLetterSubject(slot: string, group: string, subscription: string): string {
  return `walwatch_dead_letters.${slot}.${subjectToken(group)}.${subjectToken(subscription)}`;
}

/** The subject of a note of a group; of all groups if `group` is undefined. */
export function groupSubject(slot: string, group: string | undefined, path: readonly string[]): string {
  return ['walwatch_groups', slot, ...(group === undefined ? [] : [subjectToken(group)]), ...path].join('.');
}
