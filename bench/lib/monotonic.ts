import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds of the machine's monotonic clock: the same in every process on it, so that all can start at one moment. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Resolves at that moment of {@link monotonicMs}, a millisecond late at most on an idle machine. */
export async function untilMs(atMs: number, signal?: AbortSignal): Promise<void> {
  const waitMs = atMs - monotonicMs();
  if (waitMs > 0) await sleep(waitMs, undefined, signal === undefined ? {} : { signal });
}

/** Asks again and again until the answer is `true`. @returns whether it ever was, within the time */
export async function becomesTrue(
  ask: () => Promise<boolean>,
  options: { timeoutMs: number; everyMs?: number; signal?: AbortSignal },
): Promise<boolean> {
  const endMs = monotonicMs() + options.timeoutMs;
  for (;;) {
    options.signal?.throwIfAborted();
    if (await ask()) return true;
    if (monotonicMs() > endMs) return false;
    await sleep(options.everyMs ?? 40);
  }
}
