import { blobContract } from './contract-blobs.ts';
import { listingContract } from './contract-listings.ts';
import { manifestContract } from './contract-manifests.ts';
import { uploadContract } from './contract-uploads.ts';
import type { MakeRegistry } from './make-registry.ts';

/**
 * What every registry has to do, whatever driver is behind it, over real HTTP: the checks of the OCI conformance suites
 * (1.1 and the draft after it), and what they leave out. Run by a test file for each driver.
 */
export function registryContract(name: string, makeRegistry: MakeRegistry): void {
  uploadContract(name, makeRegistry);
  blobContract(name, makeRegistry);
  manifestContract(name, makeRegistry);
  listingContract(name, makeRegistry);
}
