/** @throws TypeError: what is misspelt would be without effect */
export function assertKnown(names: readonly string[], known: readonly string[]): void {
  for (const name of names)
    if (!known.includes(name)) throw new TypeError(`walwatch/client: '${name}' is none of ${known.join(', ')}`);
}
