import { WatchError } from '../errors.ts';
import { annotationsPrefix, maxAnnotationBytes, maxAnnotationLevels } from '../postgres/logical-messages.ts';
import type { Annotations } from '../types/delivery.ts';

/** Of a change in a transaction without annotations. */
export const noAnnotations: Annotations = Object.freeze({});

const noEntries = 1;

interface Entry {
  readonly value: unknown;
  /** Of key and value as JSON, with the colon and the comma. */
  readonly bytes: number;
}

/**
 * The annotations of the transaction being received. Each change keeps those that were written before it. The object is made only when
 * there is such a change: any role may write a million annotations at once, and merging each of them must not copy all keys.
 */
export class ReceivedAnnotations {
  readonly #entries = new Map<string, Entry>();
  /** Undefined: to be made from the entries. */
  #current: Annotations | undefined = noAnnotations;
  /** Bytes of JSON. It starts with the braces, less the comma that the last entry does not have. */
  #bytes = noEntries;
  /** Bytes of memory of `current` that no change has counted yet. */
  #uncounted = 0;

  get current(): Annotations {
    // It defines properties, so that a key `__proto__` is only a key.
    return (this.#current ??= Object.freeze(
      Object.fromEntries(Array.from(this.#entries, ([key, { value }]) => [key, value])),
    ));
  }

  /** The transaction is over. */
  clear(): void {
    if (this.#current === noAnnotations) return;
    this.#entries.clear();
    this.#current = noAnnotations;
    this.#bytes = noEntries;
    this.#uncounted = 0;
  }

  /** Bytes of memory to count with the next change: each annotation once. */
  takeBytes(): number {
    const bytes = this.#uncounted;
    this.#uncounted = 0;
    return bytes;
  }

  /**
   * Merges an annotation over the earlier ones. Returns the reason if it has to be ignored: any role may write one.
   * `content`: undefined if it was too large to be kept.
   */
  merge(content: Buffer | undefined): string | undefined {
    if (content === undefined) return tooLarge;
    let added: unknown;
    try {
      added = JSON.parse(content.toString());
    } catch {
      return 'it is not JSON';
    }
    if (typeof added !== 'object' || added === null || Array.isArray(added)) return 'it is not a JSON object';
    if (isDeeper(added, maxAnnotationLevels))
      return `its values are nested more than ${maxAnnotationLevels} levels deep`;
    const entries = Object.entries(added).map(([key, value]) => [key, entryOf(key, value)] as const);
    let bytes = this.#bytes;
    for (const [key, entry] of entries) bytes += entry.bytes - (this.#entries.get(key)?.bytes ?? 0);
    if (bytes > maxAnnotationBytes) return tooLarge;
    for (const [key, entry] of entries) this.#entries.set(key, entry);
    this.#current = undefined;
    this.#bytes = bytes;
    this.#uncounted = 4 * bytes; // objects take more memory than their JSON
    return undefined;
  }
}

function entryOf(key: string, value: unknown): Entry {
  return { value, bytes: Buffer.byteLength(JSON.stringify(key)) + Buffer.byteLength(JSON.stringify(value)) + 2 };
}

const tooLarge = `the annotations of a transaction may take at most ${maxAnnotationBytes} bytes of JSON together`;

/** Whether a logical message is an annotation that must be decoded. */
export function isAnnotation(prefix: string, bytes: number): boolean {
  return prefix === annotationsPrefix && bytes <= maxAnnotationBytes;
}

/** Whether a JSON value has more than `levels` objects and arrays inside each other. */
export function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}

/** `xid`: undefined outside of transactions. */
export function annotationIgnored(xid: number | undefined, reason: string): WatchError {
  const of = xid === undefined ? '' : ` of transaction ${xid}`;
  return new WatchError('ANNOTATION', `an annotation${of} was ignored: ${reason}`, {
    solution:
      "The changes are delivered without it. If it was too large, annotate less: all calls of outbox.annotate() in a transaction share the limit. Otherwise SQL wrote it with pg_catalog.pg_logical_emit_message(…, 'walwatch:annotations', …): use outbox.annotate(), which refuses such values.",
  });
}
