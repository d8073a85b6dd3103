import { type Digest, hashBytes, mediaTypes } from '../../src/core/index.ts';
import { bytesOf, descriptorOf, TestClient } from './client.ts';
import type { PlainRequest } from './plain-request.ts';

/** What both registries hold before a request. */
export interface Scene {
  /** Holds the image `v1`, also tagged `a`, `b` and `c`, the image `docker`, the index `multi`, and a blob. */
  readonly repository: string;
  /** The digests of the manifests. */
  readonly image: Digest;
  readonly docker: Digest;
  readonly index: Digest;
  /** 2048 bytes. */
  readonly blob: Digest;
  /** A repository of this request alone, which holds the blob and an image with the tags `v1` and `v2`. */
  readonly own: string;
  readonly ownImage: Digest;
  /** The bytes of a manifest whose blobs are in `own`, which has not been put. */
  readonly fresh: Buffer;
  /** The path of an upload in `own` with the first 10 bytes of the blob, with parameters added to its query. */
  upload(query?: string): string;
  /** The same for an upload without a byte. */
  emptyUpload(query?: string): string;
}

/** A request, and what the test calls it. */
export interface BesideRequest {
  readonly what: string;
  /** What it needs beside what all requests may read: uploads in a repository of its own, or manifests there. */
  readonly needs: 'nothing' | 'uploads' | 'manifests';
  readonly make: (scene: Scene) => PlainRequest;
}

export const blobBytes = bytesOf('beside distribution', 2048);
const absent = hashBytes(Buffer.from('absent'));
const absent512 = hashBytes(Buffer.from('absent'), 'sha512');
const shared = 'team/app';

/** Puts what all requests may read; the same bytes into each registry. */
export async function prepare(url: string): Promise<Omit<Scene, keyof Own>> {
  const client = new TestClient(url);
  const image = await client.putImage(shared, ['v1', 'a', 'b', 'c'], 'beside');
  const docker = (await client.imageOf(shared, 'docker')) as { config: object; layers: object[] };
  const dockerBytes = Buffer.from(JSON.stringify({ ...docker, mediaType: mediaTypes.dockerManifest }));
  const platform = { os: 'linux', architecture: 'amd64' };
  const entry = { ...descriptorOf(mediaTypes.ociManifest, image.bytes), platform };
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [entry] };
  await client.putManifest(shared, 'docker', JSON.parse(dockerBytes.toString()));
  await client.putManifest(shared, 'multi', index);
  const blob = await client.putBlob(shared, blobBytes);
  await client.putImage('zebra', ['v1'], 'beside');
  return {
    repository: shared,
    image: image.digest,
    docker: hashBytes(dockerBytes),
    index: hashBytes(Buffer.from(JSON.stringify(index))),
    blob,
  };
}

/** What one request alone may change. */
type Own = Pick<Scene, 'own' | 'ownImage' | 'fresh' | 'upload' | 'emptyUpload'>;

/** Puts it into the repository `own`; what is not needed is left out. */
export async function prepareOwn(url: string, own: string, needs: BesideRequest['needs']): Promise<Own> {
  const client = new TestClient(url);
  const unused: Own = { own, ownImage: absent, fresh: Buffer.alloc(0), upload: () => '', emptyUpload: () => '' };
  if (needs === 'nothing') return unused;
  if (needs === 'manifests') {
    const { digest: ownImage } = await client.putImage(own, ['v1', 'v2'], 'own');
    return { ...unused, ownImage, fresh: Buffer.from(JSON.stringify(await client.imageOf(own, 'fresh'))) };
  }
  await client.putBlob(own, blobBytes);
  const emptyUpload = await client.begin(own);
  const patched = await client.call('PATCH', await client.begin(own), { body: blobBytes.subarray(0, 10) });
  const upload = patched.headers.get('location') ?? '';
  const adding = (location: string) => (query?: string) =>
    query === undefined ? location : `${location}${location.includes('?') ? '&' : '?'}${query}`;
  return { ...unused, upload: adding(upload), emptyUpload: adding(emptyUpload) };
}

type Make = (scene: Scene) => Omit<PlainRequest, 'method'> & { readonly method?: string };

/** Requests of one method. */
function requests(
  method: string,
  entries: Readonly<Record<string, Make>>,
  needs: BesideRequest['needs'] = 'nothing',
): BesideRequest[] {
  return Object.entries(entries).map(([what, make]) => ({
    what: `${method} ${what}`,
    needs,
    make: (scene) => ({ method, ...make(scene) }),
  }));
}

const at = (path: string, headers: Record<string, string | string[]> = {}) => ({ path, headers });
const four = [mediaTypes.ociManifest, mediaTypes.ociIndex, mediaTypes.dockerManifest, mediaTypes.dockerManifestList];
const accepts: Readonly<Record<string, string | string[] | undefined>> = {
  nothing: undefined,
  '*/*': '*/*',
  'the OCI manifest': mediaTypes.ociManifest,
  'the OCI index': mediaTypes.ociIndex,
  "Docker's manifest": mediaTypes.dockerManifest,
  "Docker's list": mediaTypes.dockerManifestList,
  'text/html': 'text/html',
  'all four in one header': four.join(', '),
  'all four in four headers': four,
  'all four with weights and */*': `${four.map((type, position) => `${type};q=0.${9 - position}`).join(',')},*/*;q=0.1`,
};

function manifestReads(method: string): BesideRequest[] {
  const entries: Record<string, Make> = {};
  for (const [kind, accept] of Object.entries(accepts)) {
    const headers = accept === undefined ? {} : { accept };
    entries[`an image by tag, accepting ${kind}`] = (s) => at(`/v2/${s.repository}/manifests/v1`, headers);
    entries[`an index by tag, accepting ${kind}`] = (s) => at(`/v2/${s.repository}/manifests/multi`, headers);
    entries[`a Docker image by digest, accepting ${kind}`] = (s) =>
      at(`/v2/${s.repository}/manifests/${s.docker}`, headers);
  }
  const accept = four.join(', ');
  const of = (s: Scene, reference: string, headers: Record<string, string> = {}) =>
    at(`/v2/${s.repository}/manifests/${reference}`, { accept, ...headers });
  return requests(method, {
    ...entries,
    'an image by digest': (s) => of(s, s.image),
    'a manifest that is known (If-None-Match)': (s) => of(s, 'v1', { 'if-none-match': `"${s.image}"` }),
    'a manifest that is known (without quotes)': (s) => of(s, s.image, { 'if-none-match': s.image }),
    'a manifest that is known (weak)': (s) => of(s, s.image, { 'if-none-match': `W/"${s.image}"` }),
    'a manifest that is known (*)': (s) => of(s, s.image, { 'if-none-match': '*' }),
    'a manifest with another If-None-Match': (s) => of(s, 'v1', { 'if-none-match': '"x"' }),
    'a manifest by a tag that is not there': (s) => of(s, 'nosuchtag'),
    'a manifest by a digest that is not there': (s) => of(s, absent),
    'a manifest by a sha512 that is not there': (s) => of(s, absent512),
    'a manifest by a digest that is none': (s) => of(s, 'sha256:baddigeststring'),
    'a manifest by an unknown algorithm': (s) => of(s, 'md5:d41d8cd98f00b204e9800998ecf8427e'),
    'a manifest by a tag that is none': (s) => of(s, '.notag'),
    'a manifest by a tag of 129 characters': (s) => of(s, 'a'.repeat(129)),
    'a manifest of a repository that is not there': () => at('/v2/never/manifests/v1', { accept }),
  });
}

function blobReads(method: string): BesideRequest[] {
  const of = (s: Scene, headers: Record<string, string> = {}) => at(`/v2/${s.repository}/blobs/${s.blob}`, headers);
  const ranges = ['bytes=0-9', 'bytes=500-', 'bytes=-500', 'bytes=2000-5000', 'bytes=0-9,20-29', 'bytes=500-0'];
  ranges.push('bytes=5000-', 'bytes=-0', 'bytes=0-9,5000-', 'pieces=0-1', 'bytes=x', 'bytes=0-1500,1000-', 'bytes=0-');
  const rangeEntries = ranges.map((range) => [`a blob, ${range}`, (s: Scene) => of(s, { range })] as const);
  return requests(method, {
    'a blob': (s) => of(s),
    'a blob whose colon is encoded': (s) => at(`/v2/${s.repository}/blobs/${s.blob.replace(':', '%3A')}`),
    ...Object.fromEntries(rangeEntries),
    'a part, If-Range with its tag': (s) => of(s, { range: 'bytes=0-9', 'if-range': `"${s.blob}"` }),
    'a part, If-Range with another tag': (s) => of(s, { range: 'bytes=0-9', 'if-range': '"x"' }),
    'a part, If-Range with a weak tag': (s) => of(s, { range: 'bytes=0-9', 'if-range': `W/"${s.blob}"` }),
    'a blob that is known (If-None-Match)': (s) => of(s, { 'if-none-match': `"${s.blob}"` }),
    'a blob that is known (without quotes)': (s) => of(s, { 'if-none-match': s.blob }),
    'a blob that is known (*)': (s) => of(s, { 'if-none-match': '*' }),
    'a blob with If-Match of another': (s) => of(s, { 'if-match': '"x"' }),
    'a blob with Accept-Encoding': (s) => of(s, { 'accept-encoding': 'zstd, gzip, deflate' }),
    'a manifest as a blob': (s) => at(`/v2/${s.repository}/blobs/${s.image}`),
    'a blob that is not there': (s) => at(`/v2/${s.repository}/blobs/${absent}`),
    'a blob by a sha512 that is not there': (s) => at(`/v2/${s.repository}/blobs/${absent512}`),
    'a blob of another repository': (s) => at(`/v2/zebra/blobs/${s.blob}`),
    'a blob of a repository that is not there': (s) => at(`/v2/never/blobs/${s.blob}`),
    'a blob by a digest that is none': (s) => at(`/v2/${s.repository}/blobs/sha256:abc`),
    'a blob by a tag': (s) => at(`/v2/${s.repository}/blobs/latest`),
  });
}

const listingReads: BesideRequest[] = [
  ...requests('GET', {
    '/v2/': () => at('/v2/'),
    '/v2': () => at('/v2'),
    '/v2/?x=y': () => at('/v2/?x=y'),
    'the catalog': () => at('/v2/_catalog?n=2'),
    'the catalog behind a name': () => at('/v2/_catalog?n=1&last=team/app'),
    'the catalog behind what is not there': () => at('/v2/_catalog?n=1&last=team/b'),
    'the end of the catalog': () => at('/v2/_catalog?last=zebra'),
    'the catalog, n=0': () => at('/v2/_catalog?n=0'),
    'the catalog, n=-1': () => at('/v2/_catalog?n=-1'),
    'the catalog, n=x': () => at('/v2/_catalog?n=x'),
    tags: (s) => at(`/v2/${s.repository}/tags/list`),
    'tags, n=2': (s) => at(`/v2/${s.repository}/tags/list?n=2`),
    'tags, n=2 behind a': (s) => at(`/v2/${s.repository}/tags/list?n=2&last=a`),
    'tags, as many as there are': (s) => at(`/v2/${s.repository}/tags/list?n=6`),
    'tags behind the last': (s) => at(`/v2/${s.repository}/tags/list?last=zzz`),
    'tags, n=0': (s) => at(`/v2/${s.repository}/tags/list?n=0`),
    'tags, n=-1': (s) => at(`/v2/${s.repository}/tags/list?n=-1`),
    'tags, n=x': (s) => at(`/v2/${s.repository}/tags/list?n=x`),
    'tags of a repository that is not there': () => at('/v2/never/tags/list'),
    'tags with a slash at the end': (s) => at(`/v2/${s.repository}/tags/list/`),
    'tags of a name in capitals': () => at('/v2/Team/tags/list'),
    'tags of a name with an empty part': () => at('/v2/team//app/tags/list'),
    'tags of a name with dots': () => at('/v2/team/../app/tags/list'),
    'tags of a name whose slash is encoded': () => at('/v2/team%2Fapp/tags/list'),
    'tags of a name that begins with a hyphen': () => at('/v2/-team/tags/list'),
    'tags of a name with three underscores': () => at('/v2/a___b/tags/list'),
    'tags of a name of 255 characters': () => at(`/v2/${'a'.repeat(255)}/tags/list`),
    'tags of a name of 256 characters': () => at(`/v2/${'a'.repeat(256)}/tags/list`),
    'tags of no name': () => at('/v2/tags/list'),
    'a repository': (s) => at(`/v2/${s.repository}`),
    'a path that is none': (s) => at(`/v2/${s.repository}/nothing/here`),
    'a path with broken encoding': () => at('/v2/team/app%zz/tags/list'),
    'referrers of an image': (s) => at(`/v2/${s.repository}/referrers/${s.image}`),
    uploads: (s) => at(`/v2/${s.repository}/blobs/uploads/`),
    'an upload that is not there': (s) => at(`/v2/${s.repository}/blobs/uploads/0b0c8d5e-0000-4000-8000-000000000000`),
  }),
  ...requests('HEAD', {
    '/v2/': () => at('/v2/'),
    'the catalog': () => at('/v2/_catalog?n=2'),
    tags: (s) => at(`/v2/${s.repository}/tags/list`),
  }),
  ...['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].flatMap((method) =>
    requests(method, {
      '/v2/': () => at('/v2/'),
      'the catalog': () => at('/v2/_catalog'),
      tags: (s) => at(`/v2/${s.repository}/tags/list`),
      ...(method === 'PUT' || method === 'DELETE'
        ? {}
        : { 'a manifest': (s) => at(`/v2/${s.repository}/manifests/v1`) }),
      ...(method === 'DELETE' ? {} : { 'a blob': (s) => at(`/v2/${s.repository}/blobs/${s.blob}`) }),
      ...(method === 'POST' ? {} : { uploads: (s) => at(`/v2/${s.repository}/blobs/uploads/`) }),
    }),
  ),
];

const rest = blobBytes.subarray(10);
const json = (document: object) => Buffer.from(JSON.stringify(document));
const oci = { 'content-type': mediaTypes.ociManifest };
const tooLarge = Buffer.concat([
  Buffer.from('{"schemaVersion":2'),
  Buffer.alloc(4 * 1024 * 1024, ' '),
  Buffer.from('}'),
]);
const other = hashBytes(Buffer.from('other'));

const blobWrites: BesideRequest[] = [
  ...requests(
    'POST',
    {
      'an upload': (s) => ({ path: `/v2/${s.own}/blobs/uploads/` }),
      'an upload without the slash at the end': (s) => ({ path: `/v2/${s.own}/blobs/uploads` }),
      'an upload with its algorithm': (s) => ({ path: `/v2/${s.own}/blobs/uploads/?digest-algorithm=sha512` }),
      'an upload in a name in capitals': () => ({ path: '/v2/Own/blobs/uploads/' }),
      'a whole blob': (s) => ({ path: `/v2/${s.own}/blobs/uploads/?digest=${other}`, body: Buffer.from('other') }),
      'a whole blob with other bytes': (s) => ({ path: `/v2/${s.own}/blobs/uploads/?digest=${other}`, body: rest }),
      'a whole blob by a digest that is none': (s) => ({ path: `/v2/${s.own}/blobs/uploads/?digest=x`, body: rest }),
      'a mount': (s) => ({ path: `/v2/${s.own}/blobs/uploads/?mount=${s.image}&from=zebra` }),
      'a mount of a blob': (s) => ({ path: `/v2/${s.own}-2/blobs/uploads/?mount=${s.blob}&from=${s.repository}` }),
      'a mount of a blob that is not there': (s) => ({
        path: `/v2/${s.own}/blobs/uploads/?mount=${absent}&from=zebra`,
      }),
      'a mount from a repository that is not there': (s) => ({
        path: `/v2/${s.own}/blobs/uploads/?mount=${s.blob}&from=never`,
      }),
      'a mount without from': (s) => ({ path: `/v2/${s.own}-2/blobs/uploads/?mount=${s.blob}` }),
      'a mount of a digest that is none': (s) => ({ path: `/v2/${s.own}/blobs/uploads/?mount=x&from=zebra` }),
      'a mount from a name that is none': (s) => ({ path: `/v2/${s.own}/blobs/uploads/?mount=${s.blob}&from=NO` }),
      'an upload that is begun': (s) => ({ path: s.upload() }),
    },
    'uploads',
  ),
  ...requests(
    'GET',
    {
      'an upload': (s) => ({ path: s.upload() }),
      'an upload without a byte': (s) => ({ path: s.emptyUpload() }),
      'an upload by its path alone': (s) => ({ path: s.upload().split('?')[0]! }),
      'an upload of another repository': (s) => ({ path: s.upload().replace(`/${s.own}/`, '/zebra/') }),
    },
    'uploads',
  ),
  ...requests('HEAD', { 'an upload': (s) => ({ path: s.upload() }) }, 'uploads'),
  ...requests(
    'PATCH',
    {
      'a stream': (s) => ({ path: s.upload(), body: rest, chunked: true }),
      'the rest': (s) => ({ path: s.upload(), body: rest }),
      'the rest as a stream of bytes': (s) => ({
        path: s.upload(),
        body: rest,
        headers: { 'content-type': 'application/octet-stream' },
      }),
      'the rest with its place': (s) => ({ path: s.upload(), body: rest, headers: { 'content-range': '10-2047' } }),
      'a chunk at the wrong place': (s) => ({ path: s.upload(), body: rest, headers: { 'content-range': '11-2048' } }),
      'a chunk that was sent already': (s) => ({
        path: s.upload(),
        body: blobBytes.subarray(0, 10),
        headers: { 'content-range': '0-9' },
      }),
      'a chunk of another length': (s) => ({ path: s.upload(), body: rest, headers: { 'content-range': '10-2000' } }),
      'a chunk whose place is none': (s) => ({ path: s.upload(), body: rest, headers: { 'content-range': 'x' } }),
      'a chunk as JSON': (s) => ({ path: s.upload(), body: rest, headers: { 'content-type': 'application/json' } }),
      'no byte': (s) => ({ path: s.upload() }),
      'an upload that is not there': (s) => ({
        path: `/v2/${s.own}/blobs/uploads/0b0c8d5e-0000-4000-8000-000000000000`,
        body: rest,
      }),
    },
    'uploads',
  ),
  ...requests(
    'PUT',
    {
      'the whole blob': (s) => ({ path: s.emptyUpload(`digest=${s.blob}`), body: blobBytes }),
      'the whole blob by sha512': (s) => ({
        path: s.emptyUpload(`digest=${hashBytes(blobBytes, 'sha512')}`),
        body: blobBytes,
      }),
      'the last bytes': (s) => ({ path: s.upload(`digest=${s.blob}`), body: rest }),
      'the last bytes with their place': (s) => ({
        path: s.upload(`digest=${s.blob}`),
        body: rest,
        headers: { 'content-range': '10-2047' },
      }),
      'the last bytes at the wrong place': (s) => ({
        path: s.upload(`digest=${s.blob}`),
        body: rest,
        headers: { 'content-range': '0-2037' },
      }),
      'the end of what is complete': (s) => ({ path: s.upload(`digest=${hashBytes(blobBytes.subarray(0, 10))}`) }),
      'the blob of no bytes': (s) => ({ path: s.emptyUpload(`digest=${hashBytes(Buffer.alloc(0))}`) }),
      'a blob with other bytes': (s) => ({ path: s.upload(`digest=${other}`), body: rest }),
      'a blob without a digest': (s) => ({ path: s.upload(), body: rest }),
      'a blob by a digest that is none': (s) => ({ path: s.upload('digest=sha256:abc'), body: rest }),
      'a blob by an unknown algorithm': (s) => ({ path: s.upload('digest=md5:d41d8cd98f00b204e9800998ecf8427e') }),
      'an upload that is not there': (s) => ({
        path: `/v2/${s.own}/blobs/uploads/0b0c8d5e-0000-4000-8000-000000000000?digest=${other}`,
      }),
    },
    'uploads',
  ),
  ...requests(
    'DELETE',
    {
      'an upload': (s) => ({ path: s.upload() }),
      'an upload that is not there': (s) => ({
        path: `/v2/${s.own}/blobs/uploads/0b0c8d5e-0000-4000-8000-000000000000`,
      }),
      'a blob': (s) => ({ path: `/v2/${s.own}/blobs/${s.blob}` }),
      'a blob that is not there': (s) => ({ path: `/v2/${s.own}/blobs/${absent}` }),
      'a blob of a repository that is not there': () => ({ path: `/v2/never/blobs/${absent}` }),
      'a blob by a digest that is none': (s) => ({ path: `/v2/${s.own}/blobs/sha256:abc` }),
      'a repository': (s) => ({ path: `/v2/${s.own}/_shoal/repository` }),
    },
    'uploads',
  ),
];

const manifestWrites: BesideRequest[] = [
  ...requests(
    'PUT',
    {
      'a manifest by a tag': (s) => ({ path: `/v2/${s.own}/manifests/new`, body: s.fresh, headers: oci }),
      'a manifest by its digest': (s) => ({
        path: `/v2/${s.own}/manifests/${hashBytes(s.fresh)}`,
        body: s.fresh,
        headers: oci,
      }),
      'a manifest by its sha512': (s) => ({
        path: `/v2/${s.own}/manifests/${hashBytes(s.fresh, 'sha512')}`,
        body: s.fresh,
        headers: oci,
      }),
      'a manifest by its digest with tags': (s) => ({
        path: `/v2/${s.own}/manifests/${hashBytes(s.fresh)}?tag=x&tag=y`,
        body: s.fresh,
        headers: oci,
      }),
      'a manifest by another digest': (s) => ({
        path: `/v2/${s.own}/manifests/${absent}`,
        body: s.fresh,
        headers: oci,
      }),
      'a manifest by a digest that is none': (s) => ({
        path: `/v2/${s.own}/manifests/sha256:x`,
        body: s.fresh,
        headers: oci,
      }),
      'a manifest by a tag that is none': (s) => ({ path: `/v2/${s.own}/manifests/.x`, body: s.fresh, headers: oci }),
      'a manifest with parameters of its type': (s) => ({
        path: `/v2/${s.own}/manifests/new`,
        body: s.fresh,
        headers: { 'content-type': `${mediaTypes.ociManifest}; charset=utf-8` },
      }),
      'a manifest without a type': (s) => ({ path: `/v2/${s.own}/manifests/new`, body: s.fresh }),
      'a manifest of another type': (s) => ({
        path: `/v2/${s.own}/manifests/new`,
        body: s.fresh,
        headers: { 'content-type': mediaTypes.dockerManifest },
      }),
      'a manifest of an unknown type': (s) => ({
        path: `/v2/${s.own}/manifests/new`,
        body: s.fresh,
        headers: { 'content-type': 'application/x.unknown' },
      }),
      'a manifest of no bytes': (s) => ({ path: `/v2/${s.own}/manifests/new`, headers: oci }),
      'a manifest that is no JSON': (s) => ({
        path: `/v2/${s.own}/manifests/new`,
        body: Buffer.from('{'),
        headers: oci,
      }),
      'a manifest of more than 4 MiB': (s) => ({ path: `/v2/${s.own}/manifests/new`, body: tooLarge, headers: oci }),
      'an image and an index in one': (s) => ({
        path: `/v2/${s.own}/manifests/new`,
        body: json({ ...JSON.parse(s.fresh.toString()), manifests: [] }),
        headers: oci,
      }),
      'a manifest whose blobs are missing': (s) => ({
        path: `/v2/${s.own}/manifests/new`,
        body: json({
          schemaVersion: 2,
          mediaType: mediaTypes.ociManifest,
          config: descriptorOf(mediaTypes.ociConfig, Buffer.from('missing config')),
          layers: [descriptorOf(mediaTypes.ociLayerTar, Buffer.from('missing layer'))],
        }),
        headers: oci,
      }),
      'an index whose manifest is missing': (s) => ({
        path: `/v2/${s.own}/manifests/new`,
        body: json({
          schemaVersion: 2,
          mediaType: mediaTypes.ociIndex,
          manifests: [descriptorOf(mediaTypes.ociManifest, Buffer.from('missing'))],
        }),
        headers: { 'content-type': mediaTypes.ociIndex },
      }),
      'a manifest with a subject': (s) => ({
        path: `/v2/${s.own}/manifests/new`,
        body: json({ ...JSON.parse(s.fresh.toString()), subject: descriptorOf(mediaTypes.ociManifest, s.fresh) }),
        headers: oci,
      }),
    },
    'manifests',
  ),
  ...requests(
    'DELETE',
    {
      'a manifest by its digest': (s) => ({ path: `/v2/${s.own}/manifests/${s.ownImage}` }),
      'a manifest by a tag': (s) => ({ path: `/v2/${s.own}/manifests/v1` }),
      'a manifest by a tag that is not there': (s) => ({ path: `/v2/${s.own}/manifests/none` }),
      'a manifest by a digest that is not there': (s) => ({ path: `/v2/${s.own}/manifests/${absent}` }),
      'a manifest by a digest that is none': (s) => ({ path: `/v2/${s.own}/manifests/sha256:x` }),
      'a manifest of a repository that is not there': () => ({ path: `/v2/never/manifests/${absent}` }),
    },
    'manifests',
  ),
];

/** Everything that both registries are asked. */
export const besideRequests: readonly BesideRequest[] = [
  ...listingReads,
  ...manifestReads('GET'),
  ...manifestReads('HEAD'),
  ...blobReads('GET'),
  ...blobReads('HEAD'),
  ...blobWrites,
  ...manifestWrites,
];
