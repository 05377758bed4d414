/** The known name that a misspelt one probably means. Undefined: none is similar. */
export function nearest(given: string, known: readonly string[]): string | undefined {
  const plain = (name: string) => name.replaceAll(/[^\p{L}\p{N}]/gu, '').toLowerCase();
  const wanted = plain(given);
  let best: string | undefined;
  // One mistake per three characters: `lable` means `label`, but `wait` does not mean `when`.
  let least = Math.max(wanted.length > 1 ? 1 : 0, Math.floor(wanted.length / 3)) + 0.5;
  for (const name of known) {
    const distance = mistakes(wanted, plain(name));
    if (distance < least) [best, least] = [name, distance];
  }
  return best;
}

/** Edit distance: characters that are missing, superfluous, wrong, or swapped with their neighbour. */
function mistakes(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let at = 1; at <= a.length; at++) {
    const last = row;
    row = [at];
    for (let column = 1; column <= b.length; column++) {
      const same = a[at - 1] === b[column - 1];
      const swapped = a[at - 1] === b[column - 2] && a[at - 2] === b[column - 1];
      const least = Math.min(last[column]! + 1, row[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1));
      row[column] = swapped ? Math.min(least, before[column - 2]! + 1) : least;
    }
    before = last;
  }
  return row[b.length]!;
}
