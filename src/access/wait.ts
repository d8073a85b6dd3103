/**
 * Waits for something that others may wait for, too: only the wait ends with the signal.
 * @throws what the promise rejects with, or the signal's reason
 */
export async function waitFor<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const left = Promise.withResolvers<never>();
  const leave = () => left.reject(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  try {
    // Raced even when nobody waits any more: a promise that rejects always has somebody who knows.
    return await Promise.race([left.promise, promise]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
