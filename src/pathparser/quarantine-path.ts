import {
  algorithmOf,
  type Digest,
  type DigestAlgorithm,
  findRepository,
  hexOf,
  isDigestAlgorithm,
  makeDigest,
  type Repository,
} from '../core/index.ts';
import { InvalidRegistryPathError } from './errors.ts';
import { QUARANTINE_PATH } from './roots.ts';

/**
 * What garbage collection has taken out of its place, beside the trees that distribution knows, so that distribution never
 * looks there. What was at its place is under its digest again, so that one listing tells whether something is here.
 *
 * ```
 * /docker/registry/v2/quarantine                              quarantine
 * ├── repositories                                            quarantined-repositories
 * │   └── <name>                                              quarantined-repository
 * │       └── _links[/<alg>]                                  quarantined-links
 * │           └── <alg>/<hex>                                 quarantined-link
 * │               └── <what>-<time>-<id>                      quarantined-link-entry   (layer, revision, restored)
 * └── blobs[/<alg>[/<2 hex>]]                                 quarantined-blobs
 *     └── <alg>/<2 hex>/<hex>                                 quarantined-blob
 *         └── <what>-<time>-<id>                              quarantined-blob-entry   (data, restored)
 * ```
 *
 * A type of its own beside `RegistryPath`: drivers that know only the registry's layout know no quarantine.
 */
export type QuarantinePath =
  | { readonly kind: 'quarantine' | 'quarantined-repositories' }
  | { readonly kind: 'quarantined-repository'; readonly repository: Repository }
  | { readonly kind: 'quarantined-links'; readonly repository: Repository; readonly algorithm?: DigestAlgorithm }
  | { readonly kind: 'quarantined-link'; readonly repository: Repository; readonly digest: Digest }
  | {
      readonly kind: 'quarantined-link-entry';
      readonly repository: Repository;
      readonly digest: Digest;
      readonly entry: QuarantineEntry;
    }
  | { readonly kind: 'quarantined-blobs'; readonly algorithm?: DigestAlgorithm; readonly prefix?: never }
  | { readonly kind: 'quarantined-blobs'; readonly algorithm: DigestAlgorithm; readonly prefix: string }
  | { readonly kind: 'quarantined-blob'; readonly digest: Digest }
  | { readonly kind: 'quarantined-blob-entry'; readonly digest: Digest; readonly entry: QuarantineEntry };

/**
 * One object in quarantine, all in its name: what it is, when it came, and an id that no other has. So one move both takes it
 * out of its place and notes the time; and a deletion by name never meets what came to the same digest later.
 */
export interface QuarantineEntry {
  /** `data`, `layer` and `revision` are what was moved here; `restored` is an empty note that something was moved back. */
  readonly what: 'data' | 'layer' | 'revision' | 'restored';
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** 1 to 32 lower-case hex digits. */
  readonly id: string;
}

const entryPattern = /^(data|layer|revision|restored)-(0|[1-9][0-9]{0,15})-([0-9a-f]{1,32})$/;
const hexPrefix = /^[0-9a-f]{2}$/;

/** Writes the name of an object in quarantine. @throws InvalidRegistryPathError when it could not be read back */
export function formatQuarantineEntry({ what, atMs, id }: QuarantineEntry): string {
  const name = `${what}-${atMs}-${id}`;
  if (findQuarantineEntry(name) !== undefined) return name;
  throw new InvalidRegistryPathError(`cannot write the name of an object in quarantine: got "${name.slice(0, 150)}"`, {
    part: name.slice(0, 150),
  });
}

/** Reads the name of an object in quarantine; `undefined` when `name` is none. */
export function findQuarantineEntry(name: string): QuarantineEntry | undefined {
  const [, what, time, id] = entryPattern.exec(name) ?? [];
  const atMs = Number(time);
  if (what === undefined || id === undefined || !Number.isSafeInteger(atMs)) return undefined;
  return { what: what as QuarantineEntry['what'], atMs, id };
}

/**
 * Writes a path of the quarantine: the inverse of {@link findQuarantinePath}.
 * @throws InvalidRegistryPathError when a prefix or entry could not be read back
 */
export function formatQuarantinePath(path: QuarantinePath): string {
  switch (path.kind) {
    case 'quarantine':
      return QUARANTINE_PATH;
    case 'quarantined-repositories':
      return `${QUARANTINE_PATH}/repositories`;
    case 'quarantined-repository':
      return `${QUARANTINE_PATH}/repositories/${path.repository}`;
    case 'quarantined-links':
      return path.algorithm === undefined ? linksOf(path) : `${linksOf(path)}/${path.algorithm}`;
    case 'quarantined-link':
      return `${linksOf(path)}/${partsOf(path.digest)}`;
    case 'quarantined-link-entry':
      return `${linksOf(path)}/${partsOf(path.digest)}/${formatQuarantineEntry(path.entry)}`;
    case 'quarantined-blobs': {
      const parts = [path.algorithm, path.prefix === undefined ? undefined : checkedPrefix(path.prefix)];
      return [`${QUARANTINE_PATH}/blobs`, ...parts.filter((part) => part !== undefined)].join('/');
    }
    case 'quarantined-blob':
      return blobOf(path.digest);
    case 'quarantined-blob-entry':
      return `${blobOf(path.digest)}/${formatQuarantineEntry(path.entry)}`;
  }
}

/** Reads a path of the quarantine; `undefined` when `path` is none. */
export function findQuarantinePath(path: string): QuarantinePath | undefined {
  if (path === QUARANTINE_PATH) return { kind: 'quarantine' };
  if (!path.startsWith(`${QUARANTINE_PATH}/`)) return undefined;
  const [tree, ...parts] = path.slice(QUARANTINE_PATH.length + 1).split('/');
  if (tree === 'repositories') return readRepositories(parts);
  return tree === 'blobs' ? readBlobs(parts) : undefined;
}

function readRepositories(parts: readonly string[]): QuarantinePath | undefined {
  if (parts.length === 0) return { kind: 'quarantined-repositories' };
  const end = parts.findIndex((part) => part.startsWith('_'));
  const repository = findRepository((end < 0 ? parts : parts.slice(0, end)).join('/'));
  if (repository === undefined) return undefined;
  if (end < 0) return { kind: 'quarantined-repository', repository };
  const [tree, algorithm, hex, name, ...below] = parts.slice(end);
  if (tree !== '_links' || below.length > 0) return undefined;
  if (algorithm === undefined) return { kind: 'quarantined-links', repository };
  if (!isDigestAlgorithm(algorithm)) return undefined;
  if (hex === undefined) return { kind: 'quarantined-links', repository, algorithm };
  const digest = makeDigest(algorithm, hex);
  if (digest === undefined) return undefined;
  if (name === undefined) return { kind: 'quarantined-link', repository, digest };
  const entry = findQuarantineEntry(name);
  return entry === undefined ? undefined : { kind: 'quarantined-link-entry', repository, digest, entry };
}

function readBlobs(parts: readonly string[]): QuarantinePath | undefined {
  const [algorithm, prefix, hex, name, ...below] = parts;
  if (algorithm === undefined) return { kind: 'quarantined-blobs' };
  if (!isDigestAlgorithm(algorithm)) return undefined;
  if (prefix === undefined) return { kind: 'quarantined-blobs', algorithm };
  if (!hexPrefix.test(prefix) || below.length > 0) return undefined;
  if (hex === undefined) return { kind: 'quarantined-blobs', algorithm, prefix };
  const digest = hex.startsWith(prefix) ? makeDigest(algorithm, hex) : undefined;
  if (digest === undefined) return undefined;
  if (name === undefined) return { kind: 'quarantined-blob', digest };
  const entry = findQuarantineEntry(name);
  return entry === undefined ? undefined : { kind: 'quarantined-blob-entry', digest, entry };
}

function linksOf({ repository }: { readonly repository: Repository }): string {
  return `${QUARANTINE_PATH}/repositories/${repository}/_links`;
}

function blobOf(digest: Digest): string {
  const hex = hexOf(digest);
  return `${QUARANTINE_PATH}/blobs/${algorithmOf(digest)}/${hex.slice(0, 2)}/${hex}`;
}

function partsOf(digest: Digest): string {
  return `${algorithmOf(digest)}/${hexOf(digest)}`;
}

function checkedPrefix(prefix: string): string {
  if (hexPrefix.test(prefix)) return prefix;
  throw new InvalidRegistryPathError(
    `cannot write a path of the quarantine: expected the first two hex digits of a digest, got "${prefix.slice(0, 150)}"`,
    { part: prefix.slice(0, 150) },
  );
}
