/**
 * Does `work` for every item, `limit` of them at a time, and takes the next item only when one is done: the items need
 * never be in memory together. After a failure no further item is begun; the first error is thrown when what had begun is
 * over.
 */
export async function forEachConcurrently<T>(
  items: AsyncIterable<T> | Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let ended = false;
  const worker = async () => {
    try {
      while (!ended) {
        const next = await iterator.next();
        if (next.done === true) return;
        await work(next.value);
      }
    } finally {
      ended = true;
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: limit }, worker));
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure === undefined) return;
  await iterator.return?.();
  throw failure.reason;
}
