import {
  type Digest,
  type DigestAlgorithm,
  findRepository,
  findTag,
  isDigestAlgorithm,
  makeDigest,
  type Repository,
  type Tag,
} from '../core/index.ts';
import { InvalidRegistryPathError } from './errors.ts';
import type { RegistryPath } from './registry-path.ts';
import { ROOT_PATH } from './roots.ts';
import { isUploadId } from './upload-id.ts';

/** Why a path is none of the layout: the component that does not fit, and what was expected in its place. */
interface Fault {
  readonly fault: string;
  readonly part: string;
}

/** Errors quote this much of a path: the longest of the layout is shorter, a hostile one may be megabytes. */
const QUOTED_MAX_LENGTH = 600;

const hexPrefix = /^[0-9a-f]{2}$/;
/** As `String(number)` writes it: no sign, no leading zeros. */
const canonicalDecimal = /^(?:0|[1-9][0-9]*)$/;

/** Reads a path of the layout; `undefined` when `path` is none. The inverse of {@link formatPath}. */
export function findPath(path: string): RegistryPath | undefined {
  const read = readPath(path);
  return isFault(read) ? undefined : read;
}

/** Reads a path of the layout. @throws InvalidRegistryPathError when `path` is none; it says which component is wrong */
export function parsePath(path: string): RegistryPath {
  const read = readPath(path);
  if (!isFault(read)) return read;
  const quoted = path.slice(0, QUOTED_MAX_LENGTH);
  const part = read.part.slice(0, QUOTED_MAX_LENGTH);
  throw new InvalidRegistryPathError(
    `"${quoted}" is not a path of the registry's layout: expected ${read.fault}, got "${part}"`,
    { path: quoted, part },
  );
}

function isFault(value: object): value is Fault {
  return 'fault' in value;
}

function expected(fault: string, part: string | undefined): Fault {
  return { fault, part: part ?? '' };
}

function readPath(path: string): RegistryPath | Fault {
  if (path === ROOT_PATH) return { kind: 'root' };
  if (!path.startsWith(`${ROOT_PATH}/`)) return expected(`a path under ${ROOT_PATH}`, path);
  const [tree, ...parts] = path.slice(ROOT_PATH.length + 1).split('/');
  if (parts.includes('')) return expected('no empty component: no "//" and no slash at the end', path);
  if (tree === 'repositories') return readRepositories(parts);
  if (tree === 'blobs') return readBlobs(parts);
  return expected('"repositories" or "blobs"', tree);
}

function readRepositories(parts: readonly string[]): RegistryPath | Fault {
  if (parts.length === 0) return { kind: 'repositories' };
  // No component of a name begins with "_", so the first that does ends the name.
  const end = parts.findIndex((part) => part.startsWith('_'));
  const name = (end < 0 ? parts : parts.slice(0, end)).join('/');
  const repository = findRepository(name);
  if (repository === undefined) return expected('a repository name', name);
  if (end < 0) return { kind: 'repository', repository };
  const below = parts.slice(end + 1);
  switch (parts[end]) {
    case '_layers':
      return readLayers(repository, below);
    case '_manifests':
      return readManifests(repository, below);
    case '_referrers':
      return readReferrers(repository, below);
    case '_uploads':
      return readUploads(repository, below);
    default:
      return expected('"_layers", "_manifests", "_referrers" or "_uploads"', parts[end]);
  }
}

function readLayers(repository: Repository, parts: readonly string[]): RegistryPath | Fault {
  const links = readLinks(parts);
  if (isFault(links)) return links;
  if (links.level === 'tree') return { kind: 'layers', repository, ...links.algorithm };
  return { kind: links.level === 'link' ? 'layer-link' : 'layer', repository, digest: links.digest };
}

function readManifests(repository: Repository, parts: readonly string[]): RegistryPath | Fault {
  const [tree, ...below] = parts;
  if (tree === undefined) return { kind: 'manifests', repository };
  if (tree === 'tags') return readTags(repository, below);
  if (tree !== 'revisions') return expected('"revisions" or "tags"', tree);
  const links = readLinks(below);
  if (isFault(links)) return links;
  if (links.level === 'tree') return { kind: 'revisions', repository, ...links.algorithm };
  return { kind: links.level === 'link' ? 'revision-link' : 'revision', repository, digest: links.digest };
}

function readTags(repository: Repository, parts: readonly string[]): RegistryPath | Fault {
  const [name, tree, ...below] = parts;
  if (name === undefined) return { kind: 'tags', repository };
  const tag = findTag(name);
  if (tag === undefined) return expected('a tag', name);
  if (tree === undefined) return { kind: 'tag', repository, tag };
  if (tree === 'index') return readTagIndex(repository, tag, below);
  if (tree !== 'current') return expected('"current" or "index"', tree);
  if (below.length === 0) return { kind: 'tag-current', repository, tag };
  if (below[0] !== 'link') return expected('"link"', below[0]);
  return below.length === 1 ? { kind: 'tag-current-link', repository, tag } : nothingBelow('link', below[1]);
}

function readTagIndex(repository: Repository, tag: Tag, parts: readonly string[]): RegistryPath | Fault {
  const links = readLinks(parts);
  if (isFault(links)) return links;
  if (links.level === 'tree') return { kind: 'tag-index', repository, tag, ...links.algorithm };
  return { kind: links.level === 'link' ? 'tag-index-link' : 'tag-index-entry', repository, tag, digest: links.digest };
}

function readReferrers(repository: Repository, parts: readonly string[]): RegistryPath | Fault {
  const [algorithm, hex, ...below] = parts;
  const subject = readDigest(algorithm, hex);
  if (typeof subject === 'object') return subject;
  const links = readLinks(below);
  if (isFault(links)) return links;
  if (links.level === 'tree') return { kind: 'referrers', repository, subject, ...links.algorithm };
  return { kind: links.level === 'link' ? 'referrer-link' : 'referrer', repository, subject, digest: links.digest };
}

function readUploads(repository: Repository, parts: readonly string[]): RegistryPath | Fault {
  const [uploadId, name, ...below] = parts;
  if (uploadId === undefined) return { kind: 'uploads', repository };
  if (!isUploadId(uploadId)) return expected('an upload id of 1 to 128 letters, digits, "_" and "-"', uploadId);
  if (name === undefined) return { kind: 'upload', repository, uploadId };
  if (name === 'hashstates') return readHashStates(repository, uploadId, below);
  if (name !== 'data' && name !== 'startedat') return expected('"data", "startedat" or "hashstates"', name);
  if (below.length > 0) return nothingBelow(name, below[0]);
  return { kind: name === 'data' ? 'upload-data' : 'upload-started-at', repository, uploadId };
}

function readHashStates(repository: Repository, uploadId: string, parts: readonly string[]): RegistryPath | Fault {
  const [algorithm, decimal, ...below] = parts;
  if (algorithm === undefined || !isDigestAlgorithm(algorithm)) return expected('"sha256" or "sha512"', algorithm);
  if (decimal === undefined) return { kind: 'upload-hash-states', repository, uploadId, algorithm };
  const offset = canonicalDecimal.test(decimal) ? Number(decimal) : Number.NaN;
  if (!Number.isSafeInteger(offset)) return expected('an offset in bytes', decimal);
  if (below.length > 0) return nothingBelow('an offset', below[0]);
  return { kind: 'upload-hash-state', repository, uploadId, algorithm, offset };
}

function readBlobs(parts: readonly string[]): RegistryPath | Fault {
  const [algorithm, prefix, hex, file, ...below] = parts;
  if (algorithm === undefined) return { kind: 'blobs' };
  if (!isDigestAlgorithm(algorithm)) return expected('"sha256" or "sha512"', algorithm);
  if (prefix === undefined) return { kind: 'blobs', algorithm };
  if (!hexPrefix.test(prefix)) return expected('the first two hex digits of a digest', prefix);
  if (hex === undefined) return { kind: 'blobs', algorithm, prefix };
  const digest = readDigest(algorithm, hex);
  if (typeof digest === 'object') return digest;
  if (!hex.startsWith(prefix)) return expected(`a digest that begins with "${prefix}"`, hex);
  if (file === undefined) return { kind: 'blob', digest };
  if (file !== 'data' && file !== 'metainfo') return expected('"data" or "metainfo"', file);
  if (below.length > 0) return nothingBelow(file, below[0]);
  return { kind: file === 'data' ? 'blob-data' : 'blob-metainfo', digest };
}

/** What a tree of links holds at some depth: the tree itself (or that of one algorithm), one digest, its link file. */
type Links =
  | { readonly level: 'tree'; readonly algorithm: { readonly algorithm?: DigestAlgorithm } }
  | { readonly level: 'entry' | 'link'; readonly digest: Digest };

/** Reads `[<alg>[/<hex>[/link]]]`, the shape of layers, revisions, tag indexes and referrers alike. */
function readLinks(parts: readonly string[]): Links | Fault {
  const [algorithm, hex, link, ...below] = parts;
  if (algorithm === undefined) return { level: 'tree', algorithm: {} };
  if (!isDigestAlgorithm(algorithm)) return expected('"sha256" or "sha512"', algorithm);
  if (hex === undefined) return { level: 'tree', algorithm: { algorithm } };
  const digest = readDigest(algorithm, hex);
  if (typeof digest === 'object') return digest;
  if (link === undefined) return { level: 'entry', digest };
  if (link !== 'link') return expected('"link"', link);
  return below.length === 0 ? { level: 'link', digest } : nothingBelow('link', below[0]);
}

function readDigest(algorithm: string | undefined, hex: string | undefined): Digest | Fault {
  if (algorithm === undefined || !isDigestAlgorithm(algorithm)) return expected('"sha256" or "sha512"', algorithm);
  return makeDigest(algorithm, hex ?? '') ?? expected(`the lower-case hex digits of a ${algorithm} digest`, hex);
}

function nothingBelow(name: string, part: string | undefined): Fault {
  return expected(`nothing below ${name}`, part);
}
