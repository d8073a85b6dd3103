import type { KeySource } from '../object-store/index.ts';
import { driverName } from './errors.ts';
import type { KeySpace } from './keys.ts';
import type { ObjectLookup } from './object-lookup.ts';
import { listPage, maxPageKeys } from './pages.ts';
import type { RequestScope, S3Requests } from './requests.ts';

/** What listings and walks need of a driver. */
export interface KeySourceDeps {
  readonly requests: S3Requests;
  readonly keys: KeySpace;
  readonly lookup: ObjectLookup;
}

/** The bucket for listings and walks. */
export function keySourceOf({ requests, keys, lookup }: KeySourceDeps, scope: RequestScope): KeySource {
  return {
    driverName,
    maxHeld: maxPageKeys,
    canStartAfter: true,
    reservedPrefix: keys.reservedPrefix,
    prefixBelow: (path) => keys.prefixBelow(path),
    pathOf: (key) => keys.pathOf(key),
    hasObject: async (path) => (await lookup.findObject(path, scope)) !== undefined,
    listPage: async ({ isShallow, maxKeys = maxPageKeys, ...query }) => {
      const options = { maxKeys: Math.min(maxKeys, maxPageKeys), ...(isShallow ? { delimiter: '/' as const } : {}) };
      const page = await listPage(requests, scope, { ...query, ...options });
      const objects = page.objects.map(({ key, size, modTime }) => {
        return { name: key, sizeBytes: size, modTimeMs: modTime.getTime() };
      });
      const directories = page.prefixes.map((name) => ({ name, sizeBytes: 0, modTimeMs: 0 }));
      const all = [...objects, ...directories];
      // An answer has its objects and its directories apart.
      if (isShallow) all.sort((left, right) => (left.name < right.name ? -1 : 1));
      return { keys: all, token: page.token };
    },
  };
}
