import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { makeDemoImage } from '../../src/cli/up/demo-image.ts';
import { imageBytes, type SourceImage } from '../../src/cli/up/image.ts';
import { hashBytes, mediaTypes, parseManifest } from '../../src/core/index.ts';

const MIB = 1024 ** 2;

async function readAll(image: SourceImage): Promise<Buffer[]> {
  return Promise.all(image.blobs.map(async (blob) => buffer(await blob.open())));
}

describe('makeDemoImage', () => {
  it('makes a valid OCI image: digests, sizes, media types and diff ids fit together', async () => {
    const image = await makeDemoImage({ repository: 'shoal/demo', seed: 'seed', sizeBytes: 9 * MIB });
    const manifest = parseManifest(image.manifest.bytes, image.manifest.mediaType);
    const [config, ...layers] = await readAll(image);
    expect(hashBytes(image.manifest.bytes)).toBe(image.manifest.digest);
    expect(manifest.config).toMatchObject({ mediaType: mediaTypes.ociConfig, digest: hashBytes(config!) });
    expect(manifest.layers.map((layer) => [layer.digest, layer.sizeBytes, layer.mediaType])).toEqual(
      layers.map((bytes) => [hashBytes(bytes), bytes.length, mediaTypes.ociLayerTar]),
    );
    const { rootfs } = JSON.parse(config!.toString()) as { rootfs: { diff_ids: string[] } };
    expect(rootfs.diff_ids).toEqual(manifest.layers.map((layer) => layer.digest));
  });

  it('has four layers of files, together of the size that was asked for', async () => {
    const image = await makeDemoImage({ repository: 'shoal/demo', seed: 'seed', sizeBytes: 9 * MIB });
    const layers = (await readAll(image)).slice(1);
    let sum = 0;
    for (const bytes of layers) {
      const archive = extract();
      archive.end(bytes);
      for await (const entry of archive) {
        sum += entry.header.size ?? 0;
        entry.resume();
      }
    }
    expect(layers).toHaveLength(4);
    expect(sum).toBe(9 * MIB);
    expect(imageBytes(image)).toBeLessThan(9 * MIB * 1.01 + 64 * 1024);
  });

  it('gives the same bytes for the same seed, however often a blob is opened', async () => {
    const [one, two] = await Promise.all(
      [1, 2].map(() => makeDemoImage({ repository: 'a', seed: 'same', sizeBytes: MIB })),
    );
    expect(one!.manifest).toEqual(two!.manifest);
    expect(await readAll(one!)).toEqual(await readAll(one!));
  });

  it('is like no other without a seed', async () => {
    const [one, two] = await Promise.all([1, 2].map(() => makeDemoImage({ repository: 'a', sizeBytes: MIB })));
    const digests = [...one!.blobs, ...two!.blobs].map((blob) => blob.digest);
    expect(new Set(digests).size).toBe(digests.length);
    expect(one!.tag).not.toBe(two!.tag);
  });

  it('cannot be compressed', async () => {
    const { gzipSync } = await import('node:zlib');
    const image = await makeDemoImage({ repository: 'a', seed: 'seed', sizeBytes: MIB });
    for (const bytes of (await readAll(image)).slice(1)) {
      expect(gzipSync(bytes).length).toBeGreaterThan(bytes.length * 0.98);
    }
  });

  it('stops when it is told to', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(makeDemoImage({ repository: 'a', sizeBytes: MIB, signal })).rejects.toThrow();
  });

  it('lets go of a blob that is not read to its end', async () => {
    const image = await makeDemoImage({ repository: 'a', seed: 'seed', sizeBytes: 20 * MIB });
    const stream = await image.blobs[1]!.open();
    for await (const _ of stream) break;
    expect(stream.destroyed).toBe(true);
  });
});
