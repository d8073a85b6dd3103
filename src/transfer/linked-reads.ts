import { Readable } from 'node:stream';
import type { BuildIndexClient } from '../build-index/client.ts';
import {
  algorithmOf,
  type ByteRange,
  type Digest,
  DigestMismatchError,
  hashBytes,
  InvalidRangeError,
  type Repository,
  type Tag,
} from '../core/index.ts';
import type { BlobStat, LinkKind, NamePage, TransferContext } from './image-transferer.ts';
import type { LinkCache } from './link-cache.ts';

/** The reads that both transferers answer alike: the build-index decides what is there. */
export abstract class LinkedReads {
  protected readonly buildIndex: BuildIndexClient;
  protected readonly links: LinkCache;

  protected constructor(buildIndex: BuildIndexClient, links: LinkCache) {
    this.buildIndex = buildIndex;
    this.links = links;
  }

  stat(repository: Repository, digest: Digest, context?: TransferContext): Promise<BlobStat> {
    return this.links.stat(repository, digest, context?.signal);
  }

  hasLink(repository: Repository, kind: LinkKind, digest: Digest, context?: TransferContext): Promise<boolean> {
    return this.links.hasLink(repository, kind, digest, context?.signal);
  }

  listTags(repository: Repository, page?: NamePage, context?: TransferContext): AsyncIterable<Tag> {
    return this.buildIndex.listTags(repository, page, context?.signal);
  }

  listRepositories(page?: NamePage, context?: TransferContext): AsyncIterable<Repository> {
    return this.buildIndex.listRepositories(page, context?.signal);
  }

  listReferrers(repository: Repository, subject: Digest, context?: TransferContext): AsyncIterable<Digest> {
    return this.buildIndex.listReferrers(repository, subject, context?.signal);
  }
}

/** A range as it is read: `undefined` for the whole blob. @throws InvalidRangeError when it lies outside of the blob */
export function checkedRange(digest: Digest, sizeBytes: number, range: ByteRange | undefined): ByteRange | undefined {
  if (range === undefined) return undefined;
  const { offset, length } = range;
  const isRange = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!isRange || offset + length > sizeBytes) {
    const message = `bytes ${offset} to ${offset + length} were asked of ${digest}, which has ${sizeBytes}`;
    throw new InvalidRangeError(message, { digest, offset, length, sizeBytes });
  }
  return offset === 0 && length === sizeBytes ? undefined : range;
}

/** Opens nothing at all: an empty range, or the blob of no bytes. @throws DigestMismatchError for a blob that has bytes */
export function openNothing(digest: Digest, range: ByteRange | undefined): Readable {
  if (range === undefined && hashBytes(Buffer.alloc(0), algorithmOf(digest)) !== digest) {
    throw new DigestMismatchError(`${digest} is said to have no bytes, but it is not the digest of none`, { digest });
  }
  return Readable.from([]);
}
