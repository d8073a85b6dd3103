import PQueue from 'p-queue';
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  DigestHasher,
  parseManifest,
  type Repository,
  type Tag,
} from '../../core/index.ts';
import { RegistryRequestError } from '../errors.ts';
import type { SourceBlob, SourceImage } from './image.ts';
import { blobsOf } from './manifest-parts.ts';
import type { RegistryClient } from './registry-client.ts';

/** Blobs of one image that move at the same time: as many as Docker takes. */
const PARALLEL_BLOBS = 3;

/** Pushes an image: blobs first, then the manifest under its tag. Blobs that are there already are left out. */
export async function pushImage(
  client: RegistryClient,
  image: SourceImage,
  onBytes: (bytes: number) => void,
): Promise<void> {
  await inParallel(image.blobs, async (blob: SourceBlob) => {
    if (await client.hasBlob(image.repository, blob.digest)) onBytes(blob.sizeBytes);
    else await client.pushBlob(image.repository, blob, onBytes);
  });
  await client.pushManifest(image.repository, image.tag, image.manifest);
  onBytes(image.manifest.bytes.length);
}

/** What is pulled, and what has to come. */
export interface PullRequest {
  readonly repository: Repository;
  readonly tag: Tag;
  /** The digest of the manifest that was pushed. */
  readonly digest: Digest;
}

/**
 * Pulls an image as a container runtime does: manifest by tag, then config and layers; every byte is hashed.
 * @returns bytes pulled @throws RegistryRequestError when a digest or length is not the right one
 */
export async function pullImage(
  client: RegistryClient,
  { repository, tag, digest }: PullRequest,
  onBytes: (bytes: number) => void,
): Promise<number> {
  const manifest = await client.pullManifest(repository, tag);
  if (manifest.digest !== digest) {
    throw new RegistryRequestError(
      `${client.url}: ${repository}:${tag} has the digest ${manifest.digest}, expected ${digest}`,
    );
  }
  onBytes(manifest.bytes.length);
  const blobs = blobsOf(parseManifest(manifest.bytes));
  await inParallel(blobs, (blob) => pullBlob(client, repository, blob, onBytes));
  return blobs.reduce((sum, blob) => sum + blob.sizeBytes, manifest.bytes.length);
}

async function pullBlob(
  client: RegistryClient,
  repository: Repository,
  blob: Descriptor,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const hasher = new DigestHasher(algorithmOf(blob.digest));
  let length = 0;
  for await (const chunk of (await client.pullBlob(repository, blob.digest)) as AsyncIterable<Buffer>) {
    hasher.update(chunk);
    length += chunk.length;
    onBytes(chunk.length);
  }
  const found = hasher.digest();
  if (found === blob.digest && length === blob.sizeBytes) return;
  throw new RegistryRequestError(
    `${client.url}: blob ${blob.digest} of ${blob.sizeBytes} bytes came as ${length} bytes with digest ${found}`,
    { expected: blob.digest, found },
  );
}

/** Runs an action on all items, some at a time; the first failure stops those that have not begun. */
async function inParallel<T>(items: readonly T[], action: (item: T) => Promise<void>): Promise<void> {
  const queue = new PQueue({ concurrency: PARALLEL_BLOBS });
  try {
    await Promise.all(items.map((item) => queue.add(() => action(item))));
  } finally {
    queue.clear();
    await queue.onIdle();
  }
}
