import { algorithmOf, type Digest, hexOf, type Repository, type Tag } from '../core/index.ts';
import { InvalidRegistryPathError } from './errors.ts';
import type { RegistryPath } from './registry-path.ts';
import { BLOBS_PATH, REPOSITORIES_PATH, ROOT_PATH } from './roots.ts';
import { isUploadId } from './upload-id.ts';

const hexPrefix = /^[0-9a-f]{2}$/;

/**
 * Writes a path of the layout: the inverse of {@link parsePath}.
 *
 * @throws InvalidRegistryPathError when an upload id, offset or prefix (the parts whose types are no proof of their
 *   form) could not be read back; so no caller can be led out of the layout
 */
export function formatPath(path: RegistryPath): string {
  switch (path.kind) {
    case 'root':
      return ROOT_PATH;
    case 'repositories':
      return REPOSITORIES_PATH;
    case 'repository':
      return inRepository(path);
    case 'layers':
      return below(inRepository(path, '_layers'), path.algorithm);
    case 'layer':
      return below(inRepository(path, '_layers'), parts(path.digest));
    case 'layer-link':
      return below(inRepository(path, '_layers'), parts(path.digest), 'link');
    case 'manifests':
      return inRepository(path, '_manifests');
    case 'revisions':
      return below(inRepository(path, '_manifests/revisions'), path.algorithm);
    case 'revision':
      return below(inRepository(path, '_manifests/revisions'), parts(path.digest));
    case 'revision-link':
      return below(inRepository(path, '_manifests/revisions'), parts(path.digest), 'link');
    case 'tags':
      return inRepository(path, '_manifests/tags');
    case 'tag':
      return inTag(path);
    case 'tag-current':
      return inTag(path, 'current');
    case 'tag-current-link':
      return inTag(path, 'current/link');
    case 'tag-index':
      return below(inTag(path, 'index'), path.algorithm);
    case 'tag-index-entry':
      return below(inTag(path, 'index'), parts(path.digest));
    case 'tag-index-link':
      return below(inTag(path, 'index'), parts(path.digest), 'link');
    case 'referrers':
      return below(inReferrers(path), path.algorithm);
    case 'referrer':
      return below(inReferrers(path), parts(path.digest));
    case 'referrer-link':
      return below(inReferrers(path), parts(path.digest), 'link');
    case 'uploads':
      return inRepository(path, '_uploads');
    case 'upload':
      return inUpload(path);
    case 'upload-data':
      return inUpload(path, 'data');
    case 'upload-started-at':
      return inUpload(path, 'startedat');
    case 'upload-hash-states':
      return inUpload(path, `hashstates/${path.algorithm}`);
    case 'upload-hash-state':
      return inUpload(path, `hashstates/${path.algorithm}/${decimal(path.offset)}`);
    case 'blobs':
      return below(BLOBS_PATH, path.algorithm, path.prefix === undefined ? undefined : checkedPrefix(path.prefix));
    case 'blob':
      return inBlob(path);
    case 'blob-data':
      return inBlob(path, 'data');
    case 'blob-metainfo':
      return inBlob(path, 'metainfo');
  }
}

function inRepository({ repository }: { repository: Repository }, name?: string): string {
  return below(`${REPOSITORIES_PATH}/${repository}`, name);
}

function inTag(path: { repository: Repository; tag: Tag }, name?: string): string {
  return below(inRepository(path, '_manifests/tags'), path.tag, name);
}

function inReferrers(path: { repository: Repository; subject: Digest }): string {
  return below(inRepository(path, '_referrers'), parts(path.subject));
}

function inUpload(path: { repository: Repository; uploadId: string }, name?: string): string {
  if (!isUploadId(path.uploadId)) throw unreadable('an upload id of 1 to 128 letters, digits, "_", "-"', path.uploadId);
  return below(inRepository(path, '_uploads'), path.uploadId, name);
}

function inBlob({ digest }: { digest: Digest }, name?: string): string {
  const hex = hexOf(digest);
  return below(`${BLOBS_PATH}/${algorithmOf(digest)}/${hex.slice(0, 2)}/${hex}`, name);
}

/** A digest as two components: `<alg>/<hex>`. */
function parts(digest: Digest): string {
  return `${algorithmOf(digest)}/${hexOf(digest)}`;
}

function below(directory: string, name?: string, file?: string): string {
  const path = name === undefined ? directory : `${directory}/${name}`;
  return file === undefined ? path : `${path}/${file}`;
}

function decimal(offset: number): string {
  if (!Number.isSafeInteger(offset) || offset < 0) throw unreadable('an offset in bytes', String(offset));
  return String(offset);
}

function checkedPrefix(prefix: string): string {
  if (!hexPrefix.test(prefix)) throw unreadable('the first two hex digits of a digest', prefix);
  return prefix;
}

function unreadable(expected: string, got: string): InvalidRegistryPathError {
  const part = got.slice(0, 150);
  return new InvalidRegistryPathError(`cannot write a path of the layout: expected ${expected}, got "${part}"`, {
    part,
  });
}
