import type { StorageDriver } from '../../src/driver/index.ts';

/** A driver that is another one but for some of its calls. */
export function wrapDriver(driver: StorageDriver, overrides: Partial<StorageDriver>): StorageDriver {
  return new Proxy(driver, {
    get(target, key) {
      if (key in overrides) return overrides[key as keyof StorageDriver];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
