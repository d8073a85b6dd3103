import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { type Digest, hashBytes, hexOf, mediaTypes } from '../../src/core/index.ts';
import { bytesOf, descriptorOf } from './client.ts';

/** Writes an image of two layers as an OCI layout with the tag `v1`; gives the digest of its manifest. */
export async function writeOciLayout(directory: string): Promise<Digest> {
  const blobs = join(directory, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  const put = async (mediaType: string, bytes: Uint8Array) => {
    await writeFile(join(blobs, hexOf(hashBytes(bytes))), bytes);
    return descriptorOf(mediaType, bytes);
  };
  const tars = [await tarOf('hello.txt', Buffer.from('hello\n')), await tarOf('data.bin', bytesOf('layout', 400_000))];
  const layers = [];
  for (const tar of tars) layers.push(await put(mediaTypes.ociLayerTarGzip, gzipSync(tar)));
  const rootfs = { type: 'layers', diff_ids: tars.map((tar) => hashBytes(tar)) };
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs }));
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: await put(mediaTypes.ociConfig, config),
      layers,
    }),
  );
  const annotations = { 'org.opencontainers.image.ref.name': 'v1' };
  const manifests = [{ ...(await put(mediaTypes.ociManifest, manifest)), annotations }];
  await writeFile(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  await writeFile(join(directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  return hashBytes(manifest);
}

async function tarOf(name: string, content: Buffer): Promise<Buffer> {
  const tar = pack();
  tar.entry({ name, mtime: new Date(0) }, content);
  tar.finalize();
  return buffer(tar);
}
