/** A number from 0 up to, not including, 1: handed in, so that tests and simulations own it. */
export type Random = () => number;

/**
 * `count` different elements in no particular order (not a random one, either), all of them when there are fewer. Costs
 * `count`, however long the list is: Floyd's algorithm (Bentley and Floyd, "A sample of brilliance", CACM 30:9). What is
 * chosen is found by looking through it, since samples are small: 52 at most. No element may be in the list twice.
 */
export function sampleOf<T>(items: readonly T[], count: number, random: Random): T[] {
  if (count >= items.length) return items.slice();
  const chosen: T[] = [];
  for (let last = items.length - count; last < items.length; last++) {
    const item = items[indexBelow(last + 1, random)]!;
    chosen.push(chosen.includes(item) ? items[last]! : item);
  }
  return chosen;
}

/** The same elements in random order (Fisher and Yates); the list itself stays as it is. */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const result = items.slice();
  for (let last = result.length - 1; last > 0; last--) {
    const other = indexBelow(last + 1, random);
    const item = result[last]!;
    result[last] = result[other]!;
    result[other] = item;
  }
  return result;
}

/** A whole number from 0 up to, not including, `end`. */
export function indexBelow(end: number, random: Random): number {
  return Math.floor(random() * end);
}
