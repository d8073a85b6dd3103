import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import { DigestHasher, hashBytes, mediaTypes, parseRepository, parseTag } from '../../core/index.ts';
import type { SourceBlob, SourceImage } from './image.ts';

/** What the image is made of. The same seed and size give the same bytes. */
export interface DemoImageOptions {
  readonly repository: string;
  /** Names the tag too; without one the image is like no other before. */
  readonly seed?: string;
  /** Of all layers together, in bytes; the tar format adds a little. */
  readonly sizeBytes: number;
  readonly signal?: AbortSignal;
  /** Told how many bytes of the layers have been hashed. */
  readonly onHashed?: (bytes: number) => void;
}

/** Parts of the whole that each layer gets: like real images, a big base and smaller layers above. */
const LAYER_SHARES = [0.4, 0.3, 0.2, 0.1];
/** The files of a layer are this large at most. */
const FILE_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;
/** Layers carry no time of their own, so that a seed gives the same bytes on every day. */
const EPOCH = new Date(0);

/**
 * An OCI image with several layers of files that cannot be compressed. Nothing is kept: the bytes come from the seed, once
 * to be hashed, and again whenever a blob is opened.
 */
export async function makeDemoImage(options: DemoImageOptions): Promise<SourceImage> {
  const seed = options.seed ?? randomBytes(8).toString('hex');
  const layers: SourceBlob[] = [];
  for (const [index, share] of LAYER_SHARES.entries()) {
    const sizeBytes = Math.max(1, Math.round(options.sizeBytes * share));
    layers.push(await describeLayer(`${seed}/${index + 1}`, sizeBytes, options));
  }
  const config = memoryBlob(configBytes(seed, layers));
  const manifest = manifestBytes(config, layers);
  return {
    repository: parseRepository(options.repository),
    tag: parseTag(seed),
    manifest: { bytes: manifest, mediaType: mediaTypes.ociManifest, digest: hashBytes(manifest) },
    blobs: [config, ...layers],
    close: async () => {},
  };
}

async function describeLayer(seed: string, sizeBytes: number, options: DemoImageOptions): Promise<SourceBlob> {
  const hasher = new DigestHasher('sha256');
  let length = 0;
  for await (const chunk of openLayer(seed, sizeBytes, options.signal) as AsyncIterable<Buffer>) {
    hasher.update(chunk);
    length += chunk.length;
    options.onHashed?.(chunk.length);
  }
  return { digest: hasher.digest(), sizeBytes: length, open: async () => openLayer(seed, sizeBytes, undefined) };
}

/** The tar file of a layer as a stream. */
function openLayer(seed: string, sizeBytes: number, signal: AbortSignal | undefined): Readable {
  const archive = pack();
  const out = new PassThrough({ highWaterMark: 4 * CHUNK_BYTES });
  // tar-stream has streams of its own kind; the pass-through gives what Node's pipeline and undici expect.
  const piped = pipeline(archive, out, ...(signal === undefined ? [] : [{ signal }]));
  piped.catch((error: Error) => out.destroy(error));
  writeFiles(archive, seed, sizeBytes).catch((error: Error) => archive.destroy(error));
  return out;
}

async function writeFiles(archive: ReturnType<typeof pack>, seed: string, sizeBytes: number): Promise<void> {
  const folder = `shoal-demo/${seed}`;
  for (let offset = 0, number = 1; offset < sizeBytes; offset += FILE_BYTES, number++) {
    const size = Math.min(FILE_BYTES, sizeBytes - offset);
    const name = `${folder}/${String(number).padStart(5, '0')}.bin`;
    const entry = archive.entry({ name, size, mtime: EPOCH, mode: 0o644 });
    await pipeline(Readable.from(noise(name, size)), entry);
  }
  archive.finalize();
}

/** Bytes that look random and follow from a name: the key stream of AES-CTR, which is as fast as the disk. */
function* noise(name: string, sizeBytes: number): Generator<Buffer> {
  const key = createHash('sha256').update(name).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(CHUNK_BYTES);
  for (let left = sizeBytes; left > 0; left -= CHUNK_BYTES) {
    yield cipher.update(zeros.subarray(0, Math.min(CHUNK_BYTES, left)));
  }
}

/** OCI image specification, "Image Configuration"; uncompressed layers are their own diff ids. */
function configBytes(seed: string, layers: readonly SourceBlob[]): Buffer {
  const config = {
    created: EPOCH.toISOString(),
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: { Labels: { 'shoal.demo.seed': seed } },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.digest) },
    history: layers.map((_, index) => ({ created: EPOCH.toISOString(), created_by: `shoal demo layer ${index + 1}` })),
  };
  return Buffer.from(JSON.stringify(config));
}

/** OCI image specification, "Image Manifest". */
function manifestBytes(config: SourceBlob, layers: readonly SourceBlob[]): Buffer {
  const describe = (mediaType: string, blob: SourceBlob) => ({ mediaType, digest: blob.digest, size: blob.sizeBytes });
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: describe(mediaTypes.ociConfig, config),
    layers: layers.map((layer) => describe(mediaTypes.ociLayerTar, layer)),
  };
  return Buffer.from(JSON.stringify(manifest));
}

function memoryBlob(bytes: Buffer): SourceBlob {
  return { digest: hashBytes(bytes), sizeBytes: bytes.length, open: async () => Readable.from([bytes]) };
}
