import { setTimeout as delay } from 'node:timers/promises';
import { mayPass } from './errors.ts';

/** Waits before the second try and those after it. The service changes one name once a second at most, in the long run. */
const waitsMs = [200, 600, 1_200];

/**
 * Tries again what may pass. For what a writer sends on its way, which nobody else can send again; it has to do the same when
 * it is done twice.
 */
export async function tryAgain<T>(task: () => Promise<T>): Promise<T> {
  for (const waitMs of waitsMs) {
    try {
      return await task();
    } catch (error) {
      if (!mayPass(error)) throw error;
      // Shortened by chance: many writers may have been refused at one moment.
      await delay(waitMs * (1 - Math.random() / 2));
    }
  }
  return task();
}
