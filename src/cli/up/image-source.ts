import { isIndexType, type Manifest, parseManifest, parseRepository, parseTag } from '../../core/index.ts';
import type { ManifestBytes, SourceImage } from './image.ts';
import type { ImageLocation } from './image-location.ts';
import { blobsOf, chooseManifest } from './manifest-parts.ts';
import { openOciLayout } from './oci-layout.ts';
import { RegistryClient } from './registry-client.ts';

/** Opens the image that `--image` names. The caller closes it. @throws RegistryRequestError, InvalidManifestError */
export async function openImage(location: ImageLocation, signal?: AbortSignal): Promise<SourceImage> {
  return location.kind === 'oci' ? openOciLayout(location) : openRegistryImage(location, signal);
}

async function openRegistryImage(
  location: Extract<ImageLocation, { kind: 'registry' }>,
  signal: AbortSignal | undefined,
): Promise<SourceImage> {
  const repository = parseRepository(location.repository);
  const client = new RegistryClient({ url: location.url, ...(signal === undefined ? {} : { signal }) });
  try {
    let manifest = await client.pullManifest(repository, location.reference);
    if (isIndexType(readManifest(manifest).mediaType)) {
      manifest = await client.pullManifest(repository, chooseManifest(readManifest(manifest), manifest.bytes).digest);
    }
    const isTag = !location.reference.includes(':');
    return {
      repository,
      tag: parseTag(isTag ? location.reference : 'latest'),
      manifest,
      blobs: blobsOf(readManifest(manifest)).map((entry) => ({
        digest: entry.digest,
        sizeBytes: entry.sizeBytes,
        open: () => client.pullBlob(repository, entry.digest),
      })),
      close: () => client.close(),
    };
  } catch (error) {
    await client.close();
    throw error;
  }
}

function readManifest(manifest: ManifestBytes): Manifest {
  return parseManifest(manifest.bytes, manifest.mediaType === '' ? undefined : manifest.mediaType);
}
