import { type StorageDriver, StorageUnavailableError } from '../../src/driver/index.ts';

/** What a test does to a driver. */
export interface FlakyControls {
  /** While true every call fails as if the storage did not answer. */
  down: boolean;
  /** Called before each call that goes through, with the method and its path; may wait, or throw. */
  before: (method: string, path: string) => Promise<void> | void;
  /** Names and paths of all calls that were made, failed ones too. */
  readonly calls: string[];
}

const asyncMethods = ['getContent', 'putContent', 'reader', 'writer', 'stat', 'move', 'delete'];

/** A real driver that can be made to fail. */
export function makeFlaky(driver: StorageDriver): { readonly driver: StorageDriver; readonly controls: FlakyControls } {
  const controls: FlakyControls = { down: false, before: () => undefined, calls: [] };
  const flaky = new Proxy(driver, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (!asyncMethods.includes(String(name))) return value.bind(target);
      return async (...parameters: unknown[]) => {
        const path = String(parameters[0]);
        controls.calls.push(`${String(name)} ${path}`);
        if (controls.down) throw new StorageUnavailableError(target.name, path, 'the test has taken it away');
        await controls.before(String(name), path);
        return value.apply(target, parameters);
      };
    },
  });
  return { driver: flaky, controls };
}
