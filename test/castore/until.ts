import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for a condition; fails after ten seconds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ten seconds: ${condition}`);
    await sleep(10);
  }
}
