import { randomBytes } from 'node:crypto';
import { type Digest, hashBytes, mediaTypes } from '../../src/core/index.ts';
import { BenchRunError } from '../lib/errors.ts';

/** The repository of everything that a bench pushes. */
export const REPOSITORY = 'bench/app';

/** Pushes random bytes, in two requests as clients do. @throws BenchRunError when they are not taken */
export async function pushRandomBlob(baseUrl: string, sizeBytes: number, signal: AbortSignal): Promise<Digest> {
  const bytes = randomBytes(sizeBytes);
  const digest = hashBytes(bytes);
  const begun = await fetch(`${baseUrl}/v2/${REPOSITORY}/blobs/uploads/`, { method: 'POST', signal });
  const url = uploadUrl(begun.headers.get('location'), baseUrl, digest);
  const headers = { 'content-type': mediaTypes.octetStream };
  await expect201(await fetch(url, { method: 'PUT', headers, body: bytes, signal }), 'a blob');
  return digest;
}

/** Pushes an image manifest with these blobs as layers, under a tag. @returns its digest */
export async function pushManifest(
  baseUrl: string,
  image: { readonly config: Digest; readonly layers: readonly Digest[]; readonly sizeBytes: number },
  tag: string,
  signal: AbortSignal,
): Promise<Digest> {
  const describe = (mediaType: string, digest: Digest) => ({ mediaType, digest, size: image.sizeBytes });
  const document = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: describe(mediaTypes.ociConfig, image.config),
    layers: image.layers.map((layer) => describe(mediaTypes.ociLayerTar, layer)),
  };
  const body = JSON.stringify(document, undefined, 1);
  const headers = { 'content-type': mediaTypes.ociManifest };
  const url = `${baseUrl}/v2/${REPOSITORY}/manifests/${tag}`;
  await expect201(await fetch(url, { method: 'PUT', headers, body, signal }), 'a manifest');
  return hashBytes(Buffer.from(body));
}

/** Where the last request of an upload goes; other registries keep their state in the query of the location. */
export function uploadUrl(location: string | null, baseUrl: string, digest: Digest): URL {
  if (location === null) throw new BenchRunError(`${baseUrl} answers the begin of an upload without a Location`);
  const url = new URL(location, baseUrl);
  url.searchParams.set('digest', digest);
  return url;
}

async function expect201(response: Response, what: string): Promise<void> {
  const text = await response.text();
  if (response.status !== 201) throw new BenchRunError(`${what} was answered with ${response.status} ${text}`);
}
