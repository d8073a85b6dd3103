/** Questions to the backend that one listing or check has open at once. */
const AHEAD = 16;

/**
 * Maps item by item, in order, while the results of up to 16 further items are already being worked out: a backend far
 * away answers a listing in a fraction of the time, and a listing that is left early has done little in vain.
 */
export async function* mapAhead<T, R>(
  source: Iterable<T> | AsyncIterable<T>,
  map: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const running: Promise<R>[] = [];
  for await (const item of source) {
    const result = map(item);
    // Its error is thrown where it is awaited below; when the listing is left before that, nobody needs it.
    result.catch(() => undefined);
    running.push(result);
    if (running.length > AHEAD) yield await running.shift()!;
  }
  for (const result of running) yield await result;
}
