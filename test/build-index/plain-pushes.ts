import { type Digest, hashBytes } from '../../src/core/index.ts';

/** Pushes a blob in two requests, as clients do. */
export async function pushBlob(baseUrl: string, repository: string, bytes: Buffer): Promise<Digest> {
  const digest = hashBytes(bytes);
  const begun = await fetch(`${baseUrl}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const location = new URL(begun.headers.get('location')!, baseUrl);
  location.searchParams.set('digest', digest);
  const headers = { 'content-type': 'application/octet-stream' };
  const answer = await fetch(location, { method: 'PUT', headers, body: new Uint8Array(bytes) });
  if (answer.status !== 201) throw new Error(`pushing a blob: ${answer.status} ${await answer.text()}`);
  return digest;
}

/** Pushes a manifest under a tag or its digest. */
export async function pushManifest(
  baseUrl: string,
  repository: string,
  reference: string,
  bytes: Buffer,
): Promise<void> {
  const { mediaType } = JSON.parse(bytes.toString('utf8')) as { mediaType: string };
  const answer = await fetch(`${baseUrl}/v2/${repository}/manifests/${reference}`, {
    method: 'PUT',
    headers: { 'content-type': mediaType },
    body: new Uint8Array(bytes),
  });
  if (answer.status !== 201) throw new Error(`pushing a manifest: ${answer.status} ${await answer.text()}`);
}
