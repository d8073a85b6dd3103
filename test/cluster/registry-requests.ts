import { createHash, randomBytes } from 'node:crypto';
import { type Digest, hashBytes, mediaTypes } from '../../src/core/index.ts';

/** Pushes a blob the way docker does: POST, one streaming PATCH, PUT. */
export async function pushBlob(base: string, repository: string, bytes: Buffer): Promise<Digest> {
  const digest = hashBytes(bytes);
  const begun = await fetch(`${base}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  expectStatus(begun, 202);
  const patched = await fetch(locationOf(base, begun), { method: 'PATCH', body: bytes as Uint8Array<ArrayBuffer> });
  expectStatus(patched, 202);
  const url = new URL(locationOf(base, patched));
  url.searchParams.set('digest', digest);
  const put = await fetch(url, { method: 'PUT' });
  if (put.status !== 201) throw new Error(`PUT of ${digest} answered ${put.status}: ${await put.text()}`);
  return digest;
}

/** An image of the given layers, pushed whole. @returns the digest of its manifest */
export async function pushImage(
  base: string,
  repository: string,
  tag: string,
  layers: readonly Buffer[],
): Promise<Digest> {
  const config = Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', nonce: randomBytes(8).toString('hex') }),
  );
  const all = [config, ...layers];
  const digests: Digest[] = [];
  for (const blob of all) digests.push(await pushBlob(base, repository, blob));
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: digests[0], size: config.length },
      layers: layers.map((layer, index) => {
        return { mediaType: mediaTypes.ociLayerTar, digest: digests[index + 1], size: layer.length };
      }),
    }),
  );
  const headers = { 'content-type': mediaTypes.ociManifest };
  const put = await fetch(`${base}/v2/${repository}/manifests/${tag}`, { method: 'PUT', headers, body: manifest });
  if (put.status !== 201) throw new Error(`PUT of the manifest answered ${put.status}: ${await put.text()}`);
  return hashBytes(manifest);
}

/** What came of reading a blob to its end. */
export interface PulledBlob {
  readonly bytes: number;
  readonly digest: string;
  readonly seconds: number;
}

/** Reads a blob to its end and hashes it. `onBytes` is told how far it is; it may abort the request. */
export async function pullBlob(
  base: string,
  repository: string,
  digest: string,
  options: { onBytes?: (bytes: number) => void; signal?: AbortSignal } = {},
): Promise<PulledBlob> {
  const startMs = performance.now();
  const response = await fetch(
    `${base}/v2/${repository}/blobs/${digest}`,
    options.signal ? { signal: options.signal } : {},
  );
  expectStatus(response, 200);
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of response.body!) {
    hash.update(chunk);
    bytes += chunk.length;
    options.onBytes?.(bytes);
  }
  return { bytes, digest: `sha256:${hash.digest('hex')}`, seconds: (performance.now() - startMs) / 1000 };
}

/** The code of the first error in an OCI error body. */
export async function errorCode(response: Response): Promise<string> {
  const body = (await response.json()) as { errors: { code: string; message: string }[] };
  return body.errors[0]!.code;
}

function locationOf(base: string, response: Response): string {
  return new URL(response.headers.get('location')!, base).href;
}

function expectStatus(response: Response, status: number): void {
  if (response.status !== status) throw new Error(`${response.url} answered ${response.status}, expected ${status}`);
}
