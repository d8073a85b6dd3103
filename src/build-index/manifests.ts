import type { Readable } from 'node:stream';
import {
  AppError,
  algorithmOf,
  BlobNotFoundError,
  type Digest,
  hashBytes,
  InvalidManifestError,
  MANIFEST_MAX_BYTES,
  type Manifest,
  parseManifest,
  UnavailableError,
} from '../core/index.ts';
import type { OriginCluster } from '../origin/client.ts';

/** What the build-index asks of the origins: they know blobs that are not yet in the backend. */
export type BlobSource = Pick<OriginCluster, 'open' | 'stat'>;

/**
 * Reads a manifest from the origins.
 * @throws BlobNotFoundError when its bytes are gone; InvalidManifestError; UnavailableError
 */
export async function readManifest(origins: BlobSource, digest: Digest, signal?: AbortSignal): Promise<Manifest> {
  const bytes = await readAll(await origins.open(digest, undefined, signal), digest, signal);
  if (hashBytes(bytes, algorithmOf(digest)) !== digest) {
    throw new UnavailableError(
      `an origin sent ${bytes.length} bytes for manifest ${digest} that do not have this digest`,
      {
        digest,
      },
    );
  }
  return parseManifest(bytes);
}

/** The same, for when the manifest is only of use if it can be had: `undefined` when it is gone or is none. */
export async function findManifest(
  origins: BlobSource,
  digest: Digest,
  signal?: AbortSignal,
): Promise<Manifest | undefined> {
  try {
    return await readManifest(origins, digest, signal);
  } catch (error) {
    if (error instanceof BlobNotFoundError || error instanceof InvalidManifestError) return undefined;
    throw error;
  }
}

async function readAll(stream: Readable, digest: Digest, signal: AbortSignal | undefined): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      if (sizeBytes > MANIFEST_MAX_BYTES) {
        throw new InvalidManifestError(
          `manifest ${digest} has more than the ${MANIFEST_MAX_BYTES} bytes that are taken`,
        );
      }
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    if (signal?.aborted === true) throw signal.reason;
    throw new UnavailableError(
      `an origin broke off after ${sizeBytes} bytes of manifest ${digest}`,
      { digest },
      { cause },
    );
  }
  return Buffer.concat(chunks);
}
