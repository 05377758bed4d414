/** Logical messages that walwatch writes into the application's transactions, and their limits. */

/** A transactional message with a JSON object: key/value data for the changes and messages after it in the transaction. */
export const annotationsPrefix = 'walwatch:annotations';

/** The most bytes of JSON that the annotations of a transaction may take together. */
export const maxAnnotationBytes = 64 * 1024;

/** The most objects and arrays inside each other in annotations. Deeper values cannot be written as JSON again without filling the call stack. */
export const maxAnnotationLevels = 64;

/** Followed by the name of an outbox message. The content is JSON: `{"key": "42", "value": …}`; without a key, `key` is left out. */
export const outboxPrefix = 'walwatch:message:';
