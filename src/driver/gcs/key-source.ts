import type { KeySource } from '../object-store/index.ts';
import type { GcsNames } from './names.ts';
import { maxPageSize, type ObjectStore } from './object-store.ts';
import { driverName } from './parameters.ts';
import { isUploadSession, type Places } from './places.ts';

/** The bucket for listings and walks. */
export function keySourceOf(
  parts: {
    readonly store: ObjectStore;
    readonly names: GcsNames;
    readonly places: Places;
    readonly maxHeld: number | undefined;
  },
  signal: AbortSignal | undefined,
): KeySource {
  const { store, names, places, maxHeld = maxPageSize } = parts;
  return {
    driverName,
    maxHeld,
    canStartAfter: true,
    reservedPrefix: names.hiddenPrefix,
    prefixBelow: (path) => names.below(path),
    pathOf: (name) => names.findPath(name),
    hasObject: async (path) => (await places.find(path, signal)) !== undefined,
    listPage: async ({ prefix, isShallow, startAfter, token, maxKeys }) => {
      const request = { prefix, isShallow, startOffset: startAfter, pageSize: maxKeys };
      const page = await store.listPage(request, token, signal);
      // The service begins with the name itself, when there is an object of that name.
      const keys = page.objects.filter((entry) => entry.name !== startAfter && !isUploadSession(entry));
      return { keys, token: page.token };
    },
  };
}
