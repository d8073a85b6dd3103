import { type Digest, findDigest } from './digest.ts';
import { InvalidManifestError } from './errors.ts';
import { isIndexType, isNonDistributable, mediaTypes } from './media-types.ts';

/** The largest manifest that Shoal takes, in bytes: what distribution and containers/image take too. */
export const MANIFEST_MAX_BYTES = 4 * 1024 * 1024;

/** A pointer from one document to content (OCI image specification, "Content Descriptors"). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Set for layers that a registry need not hold. */
  readonly nonDistributable: boolean;
}

/** What Shoal needs to know of a manifest or index; the stored bytes are never changed. */
export interface Manifest {
  readonly mediaType: string;
  readonly kind: 'image' | 'index';
  /** Only images have one. */
  readonly config: Descriptor | undefined;
  readonly layers: readonly Descriptor[];
  /** The children of an index. */
  readonly manifests: readonly Descriptor[];
  /** What this manifest refers to; it never has to exist. */
  readonly subject: Descriptor | undefined;
  /** The `artifactType` field, else (for an image) the media type of the config. */
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

type Json = { readonly [key: string]: unknown };

/**
 * Reads the bytes of a manifest or index.
 *
 * @param contentType the media type it came or is stored with, without parameters; when the document has a `mediaType`
 *   field too, both must agree. Documents that have both `manifests` and `layers` are refused (CVE-2021-41190).
 * @throws InvalidManifestError
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): Manifest {
  const document = parseJson(bytes);
  if (document['schemaVersion'] !== 2) {
    throw invalid(`schemaVersion is ${quoted(document['schemaVersion'])}, expected 2`);
  }
  const mediaType = mediaTypeOf(document, contentType);
  const isIndex = isIndexType(mediaType);
  if ('manifests' in document && ('layers' in document || 'config' in document)) {
    throw invalid('it has both "manifests" and "layers" or "config": it must be either an index or an image');
  }
  const config = isIndex ? undefined : descriptor(document['config'], 'config');
  if (!isIndex && config === undefined) throw invalid('"config" is missing');
  return {
    mediaType,
    kind: isIndex ? 'index' : 'image',
    config,
    layers: isIndex ? [] : descriptors(document['layers'], 'layers'),
    manifests: isIndex ? descriptors(document['manifests'], 'manifests') : [],
    subject: document['subject'] === undefined ? undefined : descriptor(document['subject'], 'subject'),
    artifactType: textField(document, 'artifactType') ?? config?.mediaType,
    annotations: annotationsOf(document),
  };
}

/** Everything that has to be in the repository before this manifest may be: config, layers, children; not the subject. */
export function requiredDescriptors(manifest: Manifest): readonly Descriptor[] {
  const all = [...(manifest.config ? [manifest.config] : []), ...manifest.layers, ...manifest.manifests];
  return all.filter((entry) => !entry.nonDistributable);
}

function parseJson(bytes: Uint8Array): Json {
  if (bytes.length > MANIFEST_MAX_BYTES) {
    throw invalid(`it has ${bytes.length} bytes, at most ${MANIFEST_MAX_BYTES} are taken`);
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new InvalidManifestError('the manifest is not JSON in UTF-8', {}, { cause });
  }
  if (!isObject(value)) throw invalid('it is not a JSON object');
  return value;
}

function mediaTypeOf(document: Json, contentType: string | undefined): string {
  const field = textField(document, 'mediaType');
  if (field !== undefined && contentType !== undefined && field !== contentType) {
    throw invalid(`its mediaType field is ${quoted(field)}, but it came as ${quoted(contentType)}`);
  }
  const known: readonly string[] = [
    mediaTypes.ociIndex,
    mediaTypes.ociManifest,
    mediaTypes.dockerManifestList,
    mediaTypes.dockerManifest,
  ];
  const mediaType =
    field ?? contentType ?? (Array.isArray(document['manifests']) ? mediaTypes.ociIndex : mediaTypes.ociManifest);
  if (!known.includes(mediaType)) {
    throw invalid(`its media type is "${mediaType.slice(0, 150)}", expected one of ${known.join(', ')}`);
  }
  return mediaType;
}

function descriptors(value: unknown, place: string): Descriptor[] {
  if (!Array.isArray(value)) throw invalid(`"${place}" is not an array`);
  return value.map((entry, position) => required(descriptor(entry, `${place}[${position}]`), `${place}[${position}]`));
}

function descriptor(value: unknown, place: string): Descriptor | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw invalid(`"${place}" is not an object`);
  const mediaType = textField(value, 'mediaType');
  if (mediaType === undefined) throw invalid(`"${place}.mediaType" is missing`);
  const digest = findDigest(textField(value, 'digest') ?? '');
  if (digest === undefined) throw invalid(`"${place}.digest" is not a sha256 or sha512 digest`);
  const size = value['size'];
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`"${place}.size" is ${quoted(size)}, expected a number of bytes`);
  }
  return { mediaType, digest, sizeBytes: size, nonDistributable: isNonDistributable(mediaType) };
}

function annotationsOf(document: Json): Record<string, string> {
  const value = document['annotations'];
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw invalid('"annotations" is not an object');
  const entries = Object.entries(value);
  for (const [key, text] of entries) {
    if (typeof text !== 'string') throw invalid(`"annotations.${key.slice(0, 80)}" is not a string`);
  }
  return Object.fromEntries(entries) as Record<string, string>;
}

function textField(object: Json, field: string): string | undefined {
  const value = object[field];
  if (value === undefined || value === '') return undefined;
  if (typeof value !== 'string') throw invalid(`"${field}" is not a string`);
  return value;
}

function required<T>(value: T | undefined, place: string): T {
  if (value === undefined) throw invalid(`"${place}" is missing`);
  return value;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value as an error shows it: whatever somebody has sent, it stays short, and however deep, it is not walked through. */
function quoted(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (isObject(value)) return 'an object';
  return JSON.stringify(value)?.slice(0, 150) ?? 'missing';
}

function invalid(reason: string): InvalidManifestError {
  return new InvalidManifestError(`the manifest is not valid: ${reason}`, { reason });
}
