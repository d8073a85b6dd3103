import type { KeySource } from '../object-store/index.ts';
import { type BlobStore, type ListedName, maxPageSize } from './blob-store.ts';
import type { BlobNames } from './names.ts';
import { driverName } from './parameters.ts';

/**
 * The container for listings and walks. A listing begins at the first name always: the SDK's `startFrom` is for the newest service
 * versions only, says neither what it is relative to nor what it means with a delimiter, and no emulator does it. A name that it
 * left out by mistake would be taken for garbage by whoever collects that.
 */
export function keySourceOf(
  { store, names, maxHeld = maxPageSize }: { store: BlobStore; names: BlobNames; maxHeld?: number | undefined },
  signal: AbortSignal | undefined,
): KeySource {
  return {
    driverName,
    maxHeld,
    canStartAfter: false,
    reservedPrefix: names.hiddenPrefix,
    prefixBelow: (path) => names.below(path),
    pathOf: (name) => names.findPath(name),
    hasObject: async (path) => (await store.find(names.ofObject(path), signal)) !== undefined,
    listPage: async ({ prefix, isShallow, token, maxKeys }) => {
      const request = { prefix, isShallow, withMetadata: !isShallow, pageSize: maxKeys, marker: token };
      const page = await store.listPage(request, signal);
      // Unfinished bytes sort behind all that are paths.
      const isLast = page.names.at(-1)?.name.startsWith(names.hiddenPrefix) ?? false;
      return { keys: page.names.filter((entry) => !isFolderMarker(entry)), token: isLast ? undefined : page.marker };
    },
  };
}

/** Storage explorers mark a folder by an empty blob; with a hierarchical namespace every directory is one. */
function isFolderMarker({ metadata, sizeBytes }: ListedName): boolean {
  return sizeBytes === 0 && metadata['hdi_isfolder'] === 'true';
}
