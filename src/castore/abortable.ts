/**
 * The items of `source` until `signal` aborts, which rejects at once with the signal's reason, also while the source is
 * silent. The source is told to stop (`return`, which destroys a stream) however the loop ends.
 */
export async function* untilAborted<T>(source: AsyncIterable<T>, signal?: AbortSignal): AsyncGenerator<T, void> {
  const iterator = source[Symbol.asyncIterator]();
  const aborted = Promise.withResolvers<never>();
  // Nobody waits for it between two items.
  aborted.promise.catch(() => undefined);
  const onAbort = () => aborted.reject(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  let ended = false;
  try {
    signal?.throwIfAborted();
    for (;;) {
      const item = await Promise.race([iterator.next(), aborted.promise]);
      ended = item.done === true;
      if (item.done === true) return;
      yield item.value;
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    // Not awaited: a silent source answers only when it wakes up. Its failure adds nothing to the reason for which we stop.
    if (!ended) iterator.return?.().catch(() => undefined);
  }
}
