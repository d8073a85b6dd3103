import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import {
  algorithmOf,
  type Digest,
  findRepository,
  hashBytes,
  hexOf,
  isIndexType,
  parseDigest,
  parseManifest,
  parseRepository,
  parseTag,
} from '../../core/index.ts';
import { RegistryRequestError } from '../errors.ts';
import type { ManifestBytes, SourceImage } from './image.ts';
import { blobsOf, chooseManifest } from './manifest-parts.ts';

/** An entry of `index.json` (OCI image layout specification). */
interface LayoutEntry {
  readonly mediaType?: string;
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const TAG_ANNOTATION = 'org.opencontainers.image.ref.name';

/**
 * Opens an image in an OCI layout folder: the one with the tag that was asked for, else the first.
 * @throws RegistryRequestError when the folder is no layout, or has no such image
 */
export async function openOciLayout(location: { folder: string; tag: string | undefined }): Promise<SourceImage> {
  const { folder } = location;
  const entry = await findEntry(folder, location.tag);
  let manifest = await readLayoutManifest(folder, parseDigest(entry.digest), entry.mediaType);
  let parsed = parseManifest(manifest.bytes, manifest.mediaType);
  if (isIndexType(parsed.mediaType)) {
    const child = chooseManifest(parsed, manifest.bytes);
    manifest = await readLayoutManifest(folder, child.digest, child.mediaType);
    parsed = parseManifest(manifest.bytes, manifest.mediaType);
  }
  const name = basename(resolve(folder)).toLowerCase();
  return {
    repository: findRepository(name) ?? parseRepository('image'),
    tag: parseTag(location.tag ?? entry.annotations?.[TAG_ANNOTATION]?.split(':').at(-1) ?? 'latest'),
    manifest,
    blobs: blobsOf(parsed).map(({ digest, sizeBytes }) => ({
      digest,
      sizeBytes,
      open: async () => createReadStream(blobFile(folder, digest)),
    })),
    close: async () => {},
  };
}

async function findEntry(folder: string, tag: string | undefined): Promise<LayoutEntry> {
  const file = join(folder, 'index.json');
  let entries: readonly LayoutEntry[];
  try {
    entries = (JSON.parse(await readFile(file, 'utf8')) as { manifests: readonly LayoutEntry[] }).manifests;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RegistryRequestError(`${folder} is no OCI layout: cannot read ${file}: ${reason}`, {}, { cause });
  }
  const entry = entries.find(({ annotations }) => tag === undefined || annotations?.[TAG_ANNOTATION] === tag);
  if (entry !== undefined) return entry;
  const tags = entries.map(({ annotations }) => annotations?.[TAG_ANNOTATION] ?? '(none)').join(', ');
  throw new RegistryRequestError(`the OCI layout ${folder} has no image "${tag}"; it has: ${tags || 'nothing'}`);
}

async function readLayoutManifest(folder: string, digest: Digest, mediaType = ''): Promise<ManifestBytes> {
  const bytes = await readFile(blobFile(folder, digest));
  if (hashBytes(bytes, algorithmOf(digest)) !== digest) {
    throw new RegistryRequestError(
      `the OCI layout ${folder} is damaged: ${blobFile(folder, digest)} has another digest`,
    );
  }
  const known = mediaType !== '' ? mediaType : parseManifest(bytes).mediaType;
  return { bytes, mediaType: known, digest };
}

function blobFile(folder: string, digest: Digest): string {
  return join(folder, 'blobs', algorithmOf(digest), hexOf(digest));
}
