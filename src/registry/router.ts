import {
  type Digest,
  parseDigest,
  parseReference,
  parseRepository,
  type Reference,
  type Repository,
  UploadNotFoundError,
} from '../core/index.ts';
import { isUploadId } from '../pathparser/index.ts';
import { ManifestUnknownError, MethodNotAllowedError, RouteUnknownError } from './errors.ts';

/** One route of the API with what its path names. */
export type RegistryRoute =
  | { readonly kind: 'base' | 'catalog' }
  | { readonly kind: 'tags' | 'uploads' | 'repository'; readonly repository: Repository }
  | { readonly kind: 'manifest'; readonly repository: Repository; readonly reference: Reference }
  | { readonly kind: 'blob' | 'referrers'; readonly repository: Repository; readonly digest: Digest }
  | { readonly kind: 'upload'; readonly repository: Repository; readonly uploadId: string };

/** The families of routes; each has a file of its own. */
export type RouteKind = RegistryRoute['kind'];

/** The path that all routes begin with; it is the base route itself. */
export const API_ROOT = '/v2/';

/** The methods of every route; what is not listed answers 405 with this list in `Allow`. */
export const methodsOf: Readonly<Record<RouteKind, readonly string[]>> = {
  base: ['GET', 'HEAD'],
  catalog: ['GET', 'HEAD'],
  tags: ['GET', 'HEAD'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  blob: ['GET', 'HEAD', 'DELETE'],
  uploads: ['POST'],
  upload: ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'],
  referrers: ['GET', 'HEAD'],
  repository: ['DELETE'],
};

/** A path cut into its parts, none of them checked yet. */
interface Cut {
  readonly kind: RouteKind;
  readonly name: string;
  /** Reference, digest or upload id. */
  readonly last: string;
}

/**
 * Reads a request's method and path, without its query, still percent-encoded. Pure.
 *
 * Repository names have slashes and may contain the words of the API (`a/manifests/b`), so the path is cut from the
 * right: its last one or two words say what it is, and what stands before them is the name.
 *
 * @throws RouteUnknownError, MethodNotAllowedError, InvalidRepositoryError, InvalidDigestError, InvalidTagError,
 *   ManifestUnknownError, UploadNotFoundError
 */
export function parseRoute(method: string, path: string): RegistryRoute {
  const cut = cutPath(path);
  if (cut === undefined) throw unknownRoute(path);
  const allowed = methodsOf[cut.kind];
  if (!allowed.includes(method)) {
    throw new MethodNotAllowedError(`${method} is not taken here, expected ${allowed.join(', ')}`, allowed);
  }
  return readParts(method, cut);
}

/** What a path is, whether or not its parts are valid; `undefined` when it is none of the API. */
export function routeKindOf(path: string): RouteKind | undefined {
  return cutPath(path)?.kind;
}

function readParts(method: string, cut: Cut): RegistryRoute {
  switch (cut.kind) {
    case 'base':
    case 'catalog':
      return { kind: cut.kind };
    case 'tags':
    case 'uploads':
    case 'repository':
      return { kind: cut.kind, repository: parseRepository(cut.name) };
    case 'manifest':
      return { kind: 'manifest', repository: parseRepository(cut.name), reference: readReference(method, cut) };
    case 'blob':
    case 'referrers':
      return { kind: cut.kind, repository: parseRepository(cut.name), digest: parseDigest(cut.last) };
    case 'upload':
      return { kind: 'upload', repository: parseRepository(cut.name), uploadId: readUploadId(cut) };
  }
}

function cutPath(path: string): Cut | undefined {
  if (path === API_ROOT || path === API_ROOT.slice(0, -1)) return { kind: 'base', name: '', last: '' };
  if (!path.startsWith(API_ROOT)) return undefined;
  const words = path.slice(API_ROOT.length).split('/').map(decodeWord);
  if (words.length === 1) return words[0] === '_catalog' ? { kind: 'catalog', name: '', last: '' } : undefined;
  const last = words.at(-1) ?? '';
  const before = words.at(-2) ?? '';
  const name = (behind: number) => words.slice(0, -behind).join('/');
  // An extension's path (OCI distribution specification, "Extensions"): no repository name has such a word.
  if (before === '_shoal' && last === 'repository') return { kind: 'repository', name: name(2), last };
  if (before === 'tags' && last === 'list') return { kind: 'tags', name: name(2), last };
  if (before === 'manifests') return { kind: 'manifest', name: name(2), last };
  if (before === 'referrers') return { kind: 'referrers', name: name(2), last };
  // Some clients leave out the slash at the end; a digest is never called "uploads".
  if (before === 'blobs') return { kind: last === 'uploads' ? 'uploads' : 'blob', name: name(2), last };
  if (before === 'uploads' && words.at(-3) === 'blobs') {
    return { kind: last === '' ? 'uploads' : 'upload', name: name(3), last };
  }
  return undefined;
}

/** Decoded after the path was cut, so that `%2F` never becomes a separator; what is no encoding stays as it is. */
function decodeWord(word: string): string {
  if (!word.includes('%')) return word;
  let decoded: string;
  try {
    decoded = decodeURIComponent(word);
  } catch {
    // Not percent-encoding in UTF-8: the text as it stands is then no name, tag or digest either.
    return word;
  }
  return decoded.includes('/') ? word : decoded;
}

function readReference(method: string, { last }: Cut): Reference {
  // A text that can be no tag can lead to no manifest: reading says so. Only writing has to say what is wrong with it.
  if (method === 'PUT' || last.includes(':')) return parseReference(last);
  try {
    return parseReference(last);
  } catch (cause) {
    throw new ManifestUnknownError(`there is no tag "${last.slice(0, 150)}"`, {}, { cause });
  }
}

function readUploadId({ last }: Cut): string {
  if (isUploadId(last)) return last;
  throw new UploadNotFoundError(`there is no upload "${last.slice(0, 150)}": begin one with POST`);
}

function unknownRoute(path: string): RouteUnknownError {
  return new RouteUnknownError(
    `"${path.slice(0, 300)}" is no path of the registry API: expected ${API_ROOT}, ${API_ROOT}_catalog or ` +
      `${API_ROOT}<name>/ with tags/list, manifests/, blobs/, blobs/uploads/ or referrers/ or _shoal/repository`,
  );
}
