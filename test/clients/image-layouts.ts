import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync, gzipSync, zstdDecompressSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { type Digest, hashBytes, hexOf, mediaTypes } from '../../src/core/index.ts';

/** An image as it is compared: what every client keeps of it, however it compresses layers and writes manifests. */
export interface ImageContent {
  /** Of the bytes of its config, which is what docker and podman call the image's id. */
  readonly config: Digest;
  /** Of the layers' tar files, in order: the diff ids of the config, but made from the bytes that are there. */
  readonly layers: readonly Digest[];
}

/** An image in an OCI layout. */
export interface TestImage {
  /** The layout's folder; the image has the tag `v1` in it. */
  readonly layout: string;
  /** Of its manifest, or of its index. */
  readonly digest: Digest;
  readonly content: ImageContent;
}

/** Images for several platforms, and the index over them, in an OCI layout with the tag `v1`. */
export interface TestIndex {
  readonly layout: string;
  readonly digest: Digest;
  /** By architecture; the system is linux. */
  readonly images: Readonly<Record<string, { readonly digest: Digest; readonly content: ImageContent }>>;
}

/** The architecture of this machine, as images name it. */
export const ownArchitecture = process.arch === 'x64' ? 'amd64' : process.arch;

/** Writes an image that exists nowhere else: a small layer and one of random bytes. @param bytes of the larger layer */
export async function writeImage(layout: string, bytes = 1_500_000): Promise<TestImage> {
  const writer = new LayoutWriter(layout);
  const { descriptor, content } = await writer.putImage(ownArchitecture, bytes);
  await writer.finish(descriptor);
  return { layout, digest: descriptor.digest, content };
}

/** Writes an index of images for several architectures of linux, each with layers of its own. */
export async function writeIndex(layout: string, architectures: readonly string[]): Promise<TestIndex> {
  const writer = new LayoutWriter(layout);
  const images: Record<string, { digest: Digest; content: ImageContent }> = {};
  const manifests = [];
  for (const architecture of architectures) {
    const { descriptor, content } = await writer.putImage(architecture, 200_000);
    images[architecture] = { digest: descriptor.digest, content };
    manifests.push({ ...descriptor, platform: { architecture, os: 'linux' } });
  }
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  const descriptor = await writer.put(mediaTypes.ociIndex, Buffer.from(JSON.stringify(index)));
  await writer.finish(descriptor);
  return { layout, digest: descriptor.digest, images };
}

/** What is in an image, read blob by blob; every blob has to have its digest. @param read gives the bytes of a digest */
export async function readContent(digest: Digest, read: (digest: Digest) => Promise<Buffer>): Promise<ImageContent> {
  const readVerified = async (wanted: Digest) => {
    const bytes = await read(wanted);
    if (hashBytes(bytes) !== wanted) throw new Error(`${wanted} has other bytes: ${hashBytes(bytes)}`);
    return bytes;
  };
  const manifest = JSON.parse((await readVerified(digest)).toString()) as {
    readonly config: { readonly digest: Digest };
    readonly layers: readonly { readonly digest: Digest }[];
  };
  await readVerified(manifest.config.digest);
  const layers = [];
  for (const layer of manifest.layers) layers.push(hashBytes(decompress(await readVerified(layer.digest))));
  return { config: manifest.config.digest, layers };
}

/** The digest of what a layout has under its only name. */
export async function layoutDigest(layout: string): Promise<Digest> {
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: Digest }[] };
  if (index.manifests.length !== 1) throw new Error(`${layout} has ${index.manifests.length} images, expected one`);
  return index.manifests[0]!.digest;
}

/** Reads blobs of a layout, for {@link readContent}. */
export function layoutBlobs(layout: string): (digest: Digest) => Promise<Buffer> {
  return (digest) => readFile(join(layout, 'blobs', 'sha256', hexOf(digest)));
}

/** A layer as its tar file: with gzip, zstd or nothing around it, as its first bytes say. */
function decompress(layer: Buffer): Buffer {
  const first = layer.readUInt32BE(0);
  if (first >>> 16 === 0x1f8b) return gunzipSync(layer);
  return first === 0x28b52ffd ? zstdDecompressSync(layer) : layer;
}

/** How a document refers to a blob. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

/** Writes an OCI layout blob by blob. */
export class LayoutWriter {
  readonly #layout: string;

  constructor(layout: string) {
    this.#layout = layout;
  }

  async put(mediaType: string, bytes: Buffer): Promise<Descriptor> {
    const blobs = join(this.#layout, 'blobs', 'sha256');
    await mkdir(blobs, { recursive: true });
    const digest = hashBytes(bytes);
    await writeFile(join(blobs, hexOf(digest)), bytes);
    return { mediaType, digest, size: bytes.length };
  }

  async putImage(architecture: string, bytes: number): Promise<{ descriptor: Descriptor; content: ImageContent }> {
    // No layer is in two images: clients take one that is there already, in whatever compression it has.
    const text = Buffer.from(`an image for ${architecture}, ${randomUUID()}\n`.repeat(5000));
    const tars = [await tarOf('hello.txt', text), await tarOf('data.bin', randomBytes(bytes))];
    const layers = [];
    for (const tar of tars) layers.push(await this.put(mediaTypes.ociLayerTarGzip, gzipSync(tar, { level: 1 })));
    const diffIds = tars.map((tar) => hashBytes(tar));
    const config = await this.put(mediaTypes.ociConfig, Buffer.from(JSON.stringify(configOf(architecture, diffIds))));
    const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers };
    const descriptor = await this.put(mediaTypes.ociManifest, Buffer.from(JSON.stringify(manifest)));
    return { descriptor, content: { config: config.digest, layers: diffIds } };
  }

  /** Writes what makes the folder a layout, with this manifest or index as `v1`. */
  async finish(descriptor: Descriptor): Promise<void> {
    const annotations = { 'org.opencontainers.image.ref.name': 'v1' };
    const index = { schemaVersion: 2, manifests: [{ ...descriptor, annotations }] };
    await writeFile(join(this.#layout, 'index.json'), JSON.stringify(index));
    await writeFile(join(this.#layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  }
}

function configOf(architecture: string, diffIds: readonly Digest[]): object {
  const created = '2026-01-01T00:00:00Z';
  const history = diffIds.map((_, index) => ({ created, created_by: `layer ${index}` }));
  return { created, architecture, os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: diffIds }, history };
}

async function tarOf(name: string, content: Buffer): Promise<Buffer> {
  const tar = pack();
  tar.entry({ name, mtime: new Date(0) }, content);
  tar.finalize();
  return buffer(tar);
}
