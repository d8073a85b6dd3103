import {
  algorithmOf,
  type Digest,
  hashBytes,
  InvalidManifestError,
  MANIFEST_MAX_BYTES,
  type Manifest,
  parseManifest,
} from '../core/index.ts';
import { StorageInternalError } from '../driver/index.ts';
import { formatPath, formatQuarantinePath } from '../pathparser/index.ts';
import type { GcProblem } from './report.ts';
import type { GcRun } from './run.ts';

/** A manifest as far as it can be read. What cannot be read may name anything. */
export type ManifestReading =
  | { readonly kind: 'read'; readonly manifest: Manifest }
  | { readonly kind: Extract<GcProblem['kind'], `manifest-${string}`>; readonly message: string };

/** Reads a manifest by what its bytes are stored under, at their place or in quarantine. @throws what the storage throws */
export async function readManifest(run: GcRun, stored: Digest): Promise<ManifestReading> {
  let bytes: Buffer | undefined;
  try {
    bytes = await findBytes(run, stored);
  } catch (error) {
    // A bad sector does not pass, and must not hold up everything else for ever.
    if (!(error instanceof StorageInternalError)) throw error;
    return { kind: 'manifest-damaged', message: `the manifest ${stored} cannot be read: ${error.message}` };
  }
  if (bytes === undefined)
    return { kind: 'manifest-missing', message: `the bytes of the manifest ${stored} are missing` };
  if (bytes.length > MANIFEST_MAX_BYTES) {
    const message = `${stored} is linked as a manifest, but has more than ${MANIFEST_MAX_BYTES} bytes`;
    return { kind: 'manifest-unknown', message };
  }
  if (hashBytes(bytes, algorithmOf(stored)) !== stored) {
    return { kind: 'manifest-damaged', message: `the storage gave other bytes than those of the manifest ${stored}` };
  }
  try {
    return { kind: 'read', manifest: parseManifest(bytes) };
  } catch (error) {
    if (!(error instanceof InvalidManifestError)) throw error;
    return { kind: 'manifest-unknown', message: `what ${stored} needs cannot be known: ${error.message}` };
  }
}

/** Everything that a manifest names and that would be missed, but its subject; layers that need not be here included. */
export function partsOf({ config, layers, manifests }: Manifest): Digest[] {
  return [...(config === undefined ? [] : [config]), ...layers, ...manifests].map(({ digest }) => digest);
}

async function findBytes({ storage, quarantine }: GcRun, stored: Digest): Promise<Buffer | undefined> {
  const place = formatPath({ kind: 'blob-data', digest: stored });
  const most = MANIFEST_MAX_BYTES + 1;
  const bytes = await storage.readUpTo(place, most);
  if (bytes !== undefined) return bytes;
  for (const entry of await quarantine.blobEntries(stored)) {
    if (entry.what !== 'data') continue;
    const path = formatQuarantinePath({ kind: 'quarantined-blob-entry', digest: stored, entry });
    const aside = await storage.readUpTo(path, most);
    if (aside !== undefined) return aside;
  }
  // A registry may have moved them back between the two looks.
  return storage.readUpTo(place, most);
}
