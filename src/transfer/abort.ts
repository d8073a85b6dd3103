/** Waits for `promise`, but no longer than the signal lets it: then throws the signal's reason. The work behind it goes on. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  let stop: () => void = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Whether `promise` resolves within `budgetMs`; throws what it rejects with. The work behind it goes on. */
export async function resolvesWithin(promise: Promise<unknown>, budgetMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), budgetMs);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** For promises that are awaited elsewhere, or whose failure is told elsewhere: keeps Node from ending the process. */
export function handledElsewhere(promise: Promise<unknown>): void {
  promise.catch(() => {});
}
