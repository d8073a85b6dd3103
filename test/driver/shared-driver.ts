import { afterAll } from 'vitest';
import type { StorageDriver } from '../../src/driver/index.ts';

/** Empty storage, for as long as it is wanted. */
export interface TestStorage {
  /** Opens a driver on it, again and again the same storage. Whoever calls closes it. */
  readonly open: () => Promise<StorageDriver>;
  /** Called when nothing is open on it any more. */
  readonly remove: () => Promise<void>;
}

/** What is open of one storage. */
interface Opened {
  readonly storage: TestStorage;
  readonly driver: StorageDriver;
}

/**
 * One driver for all cases of the conformance suite, where opening one takes long. A case deletes all that it has made, and the
 * suite looks whether it has; one that failed, or hangs still, leaves its driver behind, and the next begins with another on storage
 * of its own. What a restart opens is for one case alone.
 */
export class SharedDriver {
  readonly #makeStorage: () => Promise<TestStorage>;
  readonly #all = new Set<Opened>();
  #idle: Opened | undefined;

  private constructor(makeStorage: () => Promise<TestStorage>) {
    this.#makeStorage = makeStorage;
  }

  /** Ended with the file, or with the `describe` that it is made in. */
  static forThisFile(makeStorage: () => Promise<TestStorage>): SharedDriver {
    const shared = new SharedDriver(makeStorage);
    afterAll(() => shared.#end());
    return shared;
  }

  /** The subject of one case. */
  async lend() {
    const { storage, driver } = await this.#take();
    const reopened: StorageDriver[] = [];
    return {
      driver,
      reopen: async () => {
        const again = await storage.open();
        reopened.push(again);
        return again;
      },
      cleanup: async () => {
        for (const one of reopened) await one.close();
        if (await isEmpty(driver)) this.#idle = { storage, driver };
      },
    };
  }

  async #take(): Promise<Opened> {
    const idle = this.#idle;
    this.#idle = undefined;
    if (idle !== undefined) return idle;
    const storage = await this.#makeStorage();
    const opened = { storage, driver: await storage.open() };
    this.#all.add(opened);
    return opened;
  }

  async #end(): Promise<void> {
    for (const { storage, driver } of this.#all) {
      await driver.close();
      await storage.remove();
    }
  }
}

async function isEmpty(driver: StorageDriver): Promise<boolean> {
  for await (const _ of driver.list('/', { limit: 1 })) return false;
  return true;
}
