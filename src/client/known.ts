/** @throws TypeError for an unknown name: a misspelt option would have no effect */
export function assertKnown(names: readonly string[], known: readonly string[]): void {
  for (const name of names)
    if (!known.includes(name))
      throw new TypeError(`walwatch/client: unknown name '${name}'; known: ${known.join(', ')}`);
}
