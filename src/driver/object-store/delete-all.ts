const deletesAtOnce = 8;

/**
 * Removes what is listed, several at once; when one removal fails, nothing is removed any more: whoever hears of it may write
 * there again.
 * @param remove whether there was something to remove
 * @returns whether there was anything
 */
export async function deleteAll<Entry>(
  entries: AsyncIterable<Entry>,
  remove: (entry: Entry) => Promise<boolean>,
): Promise<boolean> {
  let found = false;
  let hasFailed = false;
  const iterator = entries[Symbol.asyncIterator]();
  // One listing for all: an async generator queues calls of `next`.
  const work = async () => {
    for (let step = await iterator.next(); !step.done && !hasFailed; step = await iterator.next()) {
      if (await remove(step.value)) found = true;
    }
  };
  const workers = Array.from({ length: deletesAtOnce }, work);
  try {
    await Promise.all(workers);
  } catch (error) {
    hasFailed = true;
    await Promise.allSettled(workers);
    throw error;
  }
  return found;
}
