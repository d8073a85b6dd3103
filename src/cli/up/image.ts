import type { Readable } from 'node:stream';
import type { Digest, Repository, Tag } from '../../core/index.ts';

/** An image that can be pushed: a manifest, and everything that it needs. */
export interface SourceImage {
  readonly repository: Repository;
  readonly tag: Tag;
  readonly manifest: ManifestBytes;
  /** Config first, then layers in order; each digest once. */
  readonly blobs: readonly SourceBlob[];
  /** Ends what it holds open. */
  close(): Promise<void>;
}

/** A manifest as a registry sends it. */
export interface ManifestBytes {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
}

/** One blob of an image. */
export interface SourceBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Its bytes from the start; may be asked for more than once. The caller reads the stream to its end or destroys it. */
  open(): Promise<Readable>;
}

/** Bytes of all blobs and the manifest. */
export function imageBytes(image: SourceImage): number {
  return image.blobs.reduce((sum, blob) => sum + blob.sizeBytes, image.manifest.bytes.length);
}
