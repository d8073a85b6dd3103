import type { StorageDriver } from '../../src/driver/index.ts';
import { wrapDriver } from '../registry/wrapped-driver.ts';

/** The calls of a driver that a registry or collector makes, each with its path. */
export type DriverCall = 'getContent' | 'putContent' | 'reader' | 'stat' | 'list' | 'move' | 'delete';

/**
 * A driver that tells of each call before it does it; a `before` that throws or waits keeps the call from happening. Writers
 * and walks go past it.
 */
export function watchedDriver(
  driver: StorageDriver,
  before: (call: DriverCall, path: string, destination?: string) => void | Promise<void>,
): StorageDriver {
  return wrapDriver(driver, {
    getContent: async (path, context) => {
      await before('getContent', path);
      return driver.getContent(path, context);
    },
    putContent: async (path, content, context) => {
      await before('putContent', path);
      return driver.putContent(path, content, context);
    },
    reader: async (path, range, context) => {
      await before('reader', path);
      return driver.reader(path, range, context);
    },
    stat: async (path, context) => {
      await before('stat', path);
      return driver.stat(path, context);
    },
    async *list(path, page, context) {
      await before('list', path);
      yield* driver.list(path, page, context);
    },
    move: async (source, destination, context) => {
      await before('move', source, destination);
      return driver.move(source, destination, context);
    },
    delete: async (path, context) => {
      await before('delete', path);
      return driver.delete(path, context);
    },
  });
}
