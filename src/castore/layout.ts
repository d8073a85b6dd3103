import { join } from 'node:path';
import { algorithmOf, BadRequestError, type Digest, hexOf, makeDigest } from '../core/index.ts';

/**
 * Where everything lies under the folder of a store:
 *
 * ```text
 * <directory>/
 *   format                                  "shoal-castore/1": what follows is laid out like this
 *   claims/<pid>.<started>.<boot>.<random>  the process that has the store open
 *   temp/<number>                           files on their way to another name; emptied when the store is opened
 *   uploads/<id>/
 *     data                                  the bytes so far; without it there is no upload
 *     sidecars/<encoded name>               small facts
 *   downloads/<algorithm>/<ab>/<hex>/
 *     metainfo                              what is being fetched; without it there is no download
 *     data                                  pieces at their places, holes between them
 *     bitfield                              which pieces are there, as far as was persisted
 *   blobs/<algorithm>/<ab>/<hex>/
 *     data                                  the bytes; without it there is no blob
 *     metainfo
 *     pins/<encoded reason>                 empty files; while there is one the blob is not evicted
 * ```
 *
 * The access time of a blob's `data` is when it was last used, as far as was persisted; its modification time is when it was
 * committed. The modification time of a download's `metainfo` is when it was last used.
 */
export class Layout {
  readonly root: string;
  readonly format: string;
  readonly claims: string;
  readonly temp: string;
  readonly uploads: string;
  readonly downloads: string;
  readonly blobs: string;

  constructor(directory: string) {
    this.root = directory;
    this.format = join(directory, 'format');
    this.claims = join(directory, 'claims');
    this.temp = join(directory, 'temp');
    this.uploads = join(directory, 'uploads');
    this.downloads = join(directory, 'downloads');
    this.blobs = join(directory, 'blobs');
  }

  /** The id has been checked with {@link isUploadId}: it becomes a path. */
  upload(id: string): UploadPaths {
    const directory = join(this.uploads, id);
    return { directory, data: join(directory, 'data'), sidecars: join(directory, 'sidecars') };
  }

  download(digest: Digest): DownloadPaths {
    const directory = join(this.downloads, algorithmOf(digest), shardOf(digest), hexOf(digest));
    return {
      directory,
      data: join(directory, 'data'),
      metainfo: join(directory, 'metainfo'),
      bitfield: join(directory, 'bitfield'),
    };
  }

  blob(digest: Digest): BlobPaths {
    const directory = join(this.blobs, algorithmOf(digest), shardOf(digest), hexOf(digest));
    return {
      directory,
      data: join(directory, 'data'),
      metainfo: join(directory, 'metainfo'),
      pins: join(directory, 'pins'),
    };
  }
}

/** The paths of one upload. */
export interface UploadPaths {
  readonly directory: string;
  readonly data: string;
  readonly sidecars: string;
}

/** The paths of one download. */
export interface DownloadPaths {
  readonly directory: string;
  readonly data: string;
  readonly metainfo: string;
  readonly bitfield: string;
}

/** The paths of one blob. */
export interface BlobPaths {
  readonly directory: string;
  readonly data: string;
  readonly metainfo: string;
  readonly pins: string;
}

/** The first two hex digits: keeps folders small. */
function shardOf(digest: Digest): string {
  return hexOf(digest).slice(0, 2);
}

/** The digest that `<algorithm>/<shard>/<hex>` names; `undefined` when it names none. The inverse of the paths above. */
export function digestOfPath(algorithm: string, shard: string, hex: string): Digest | undefined {
  return hex.startsWith(shard) && shard.length === 2 ? makeDigest(algorithm, hex) : undefined;
}

const uploadIdPattern = /^[A-Za-z0-9_-]{1,128}$/;

/** Whether `id` may name an upload. */
export function isUploadId(id: string): boolean {
  return uploadIdPattern.test(id);
}

/** Names of files are at most this long on Linux (NAME_MAX). */
const MAX_NAME_BYTES = 255;

/**
 * A file name for any text, such as `hashstates/sha256/64`: percent-encoded, and never hidden, `.` or `..`.
 * @throws BadRequestError when the text is empty, not well-formed or too long
 */
export function encodeName(what: string, text: string): string {
  const encoded = text.isWellFormed() ? encodeURIComponent(text).replace(/^\./, '%2E') : '';
  if (encoded.length > 0 && encoded.length <= MAX_NAME_BYTES) return encoded;
  throw new BadRequestError(
    `${JSON.stringify(text.slice(0, 100))} cannot be ${what}: expected 1 to ${MAX_NAME_BYTES} bytes of text once it is percent-encoded`,
  );
}

/** The inverse of {@link encodeName}; `undefined` for a file name that it cannot have made. */
export function decodeName(name: string): string | undefined {
  try {
    const text = decodeURIComponent(name);
    return encodeName('a name', text) === name ? text : undefined;
  } catch {
    // Not percent-encoded text: a file that somebody else put there.
    return undefined;
  }
}
