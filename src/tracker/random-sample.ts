/** A number from 0 up to, not including, 1: handed in, so that tests and simulations own it. */
export type Random = () => number;

/**
 * `count` different elements in random order, all of them when there are fewer. Costs `count`, however long the list is:
 * Floyd's algorithm (Bentley and Floyd, "A sample of brilliance", CACM 30:9), then a shuffle, because Floyd's own order is
 * not uniform.
 */
export function sampleOf<T>(items: readonly T[], count: number, random: Random): T[] {
  if (count >= items.length) return shuffled(items, random);
  const chosen = new Set<number>();
  for (let last = items.length - count; last < items.length; last++) {
    const index = indexBelow(last + 1, random);
    chosen.add(chosen.has(index) ? last : index);
  }
  return shuffled(
    [...chosen].map((index) => items[index]!),
    random,
  );
}

/** The same elements in random order (Fisher and Yates); the list itself stays as it is. */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = indexBelow(last + 1, random);
    [result[last], result[other]] = [result[other]!, result[last]!];
  }
  return result;
}

/** A whole number from 0 up to, not including, `end`. */
function indexBelow(end: number, random: Random): number {
  return Math.floor(random() * end);
}
