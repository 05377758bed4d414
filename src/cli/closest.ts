/** The known name that somebody most likely meant. Undefined: none is near. */
export function closest(given: string, known: readonly string[]): string | undefined {
  const near = known
    .map((name) => ({ name, distance: distance(given.toLowerCase(), name.toLowerCase()) }))
    .filter((one) => one.distance <= Math.max(1, Math.floor(one.name.length / 3)))
    .toSorted((a, b) => a.distance - b.distance);
  return near[0]?.name;
}

/** How many characters have to be inserted, removed, replaced or swapped. */
function distance(one: string, other: string): number {
  const rows = [Array.from({ length: other.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const [above, before] = [rows[i - 1]!, rows[i - 2]];
      const replaced = above[j - 1]! + (one[i - 1] === other[j - 1] ? 0 : 1);
      const swapped = one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1] ? before?.[j - 2] : undefined;
      row.push(Math.min(row[j - 1]! + 1, above[j]! + 1, replaced, (swapped ?? Infinity) + 1));
    }
    rows.push(row);
  }
  return rows.at(-1)!.at(-1)!;
}
