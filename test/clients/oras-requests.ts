import { type IncomingHttpHeaders, request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { type Digest, hashBytes, mediaTypes } from '../../src/core/index.ts';

/** How a document refers to content. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly artifactType?: string;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Document {
  readonly manifests?: readonly Descriptor[];
  readonly layers?: readonly Descriptor[];
  readonly config?: Descriptor;
  readonly subject?: Descriptor;
}

const title = 'org.opencontainers.image.title';
const emptyConfig = Buffer.from('{}');
/** What oras takes as a manifest, all in one header. */
const manifestTypes = [
  mediaTypes.dockerManifest,
  mediaTypes.dockerManifestList,
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  'application/vnd.oci.artifact.manifest.v1+json',
].join(', ');

/**
 * The requests that `oras` 1.2 makes, which cannot be installed here: in its order, with its headers, and with its demands on
 * each answer, an Error where it would give up. One object is one run of the program: whether the registry lists
 * referrers is found out anew by each.
 */
export class Oras {
  /** What was asked of the registry, as `GET /v2/…`. */
  readonly asked: string[] = [];
  readonly #url: string;
  readonly #path: string;
  #listsReferrers: boolean | undefined;

  constructor(url: string, repository: string) {
    this.#url = url;
    this.#path = `/v2/${repository}`;
  }

  /** `oras push NAME:TAG --artifact-type TYPE FILE…` */
  async push(tag: string, artifactType: string, files: Readonly<Record<string, Buffer>>): Promise<Digest> {
    const manifest = await this.#pushFiles(artifactType, files);
    if (!(await this.#manifestExists(manifest))) await this.#putManifest(tag, manifest);
    return hashBytes(manifest);
  }

  /** `oras attach NAME:TAG --artifact-type TYPE FILE…` */
  async attach(reference: string, artifactType: string, files: Readonly<Record<string, Buffer>>): Promise<Digest> {
    const subject = await this.#resolve(reference);
    const manifest = await this.#pushFiles(artifactType, files, subject);
    const digest = hashBytes(manifest);
    if (await this.#manifestExists(manifest)) return digest;
    await this.#putManifest(digest, manifest);
    if (this.#listsReferrers === true) return digest;
    // The answer has not said that the registry has seen the subject: so it keeps no list, and the client does.
    this.#listsReferrers = false;
    const annotations = JSON.parse(manifest.toString()).annotations as Record<string, string>;
    const entry = { mediaType: mediaTypes.ociManifest, digest, size: manifest.length, annotations, artifactType };
    await this.#changeFallbackIndex(subject.digest, (entries) => [...entries, entry]);
    return digest;
  }

  /** `oras discover NAME:TAG --artifact-type TYPE` */
  async discover(reference: string, artifactType?: string): Promise<readonly Descriptor[]> {
    const { digest } = await this.#resolve(reference);
    const matches = (entry: Descriptor) => artifactType === undefined || entry.artifactType === artifactType;
    const filter = artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`;
    const found: Descriptor[] = [];
    for (let path: string | undefined = `${this.#path}/referrers/${digest}${filter}`; path !== undefined; ) {
      const answer = await this.#send('GET', path);
      if (answer.status === 404 && !answer.body.includes('NAME_UNKNOWN')) {
        return ((await this.#fallbackIndex(digest))?.entries ?? []).filter(matches);
      }
      expectStatus(answer, 200);
      if (answer.headers['content-type'] !== mediaTypes.ociIndex) throw new Error('referrers are no index');
      const isFiltered = answer.headers['oci-filters-applied'] === 'artifactType';
      const entries = (JSON.parse(answer.body.toString()) as Document).manifests ?? [];
      found.push(...(isFiltered ? entries : entries.filter(matches)));
      path = /<([^>]+)>; *rel="?next"?/.exec(answer.headers.link?.toString() ?? '')?.[1];
    }
    return found;
  }

  /** `oras pull NAME:TAG` @returns the files by name */
  async pull(reference: string): Promise<Record<string, Buffer>> {
    const { document } = await this.#fetchManifest(reference, manifestTypes);
    const files: Record<string, Buffer> = {};
    for (const { digest, size, annotations } of document.layers ?? []) {
      const answer = await this.#send('GET', `${this.#path}/blobs/${digest}`);
      expectStatus(answer, 200);
      expectDigest(answer, digest);
      if (Number(answer.headers['content-length']) !== size) throw new Error('mismatch Content-Length');
      if (hashBytes(answer.body) !== digest) throw new Error('other bytes');
      files[annotations?.[title] ?? digest] = answer.body;
    }
    return files;
  }

  /** `oras manifest delete NAME@DIGEST` or `NAME:TAG` */
  async deleteManifest(reference: string): Promise<void> {
    const target = await this.#resolve(reference);
    const { document } = await this.#fetchManifest(target.digest, target.mediaType);
    if (document.subject !== undefined && !(await this.#pingReferrers())) {
      const isOther = (entry: Descriptor) => entry.digest !== target.digest;
      await this.#changeFallbackIndex(document.subject.digest, (entries) => entries.filter(isOther));
    }
    await this.#delete(target.digest);
  }

  async #pushFiles(artifactType: string, files: Readonly<Record<string, Buffer>>, subject?: Descriptor) {
    const config = descriptorOf(mediaTypes.ociEmpty, emptyConfig);
    const layers = Object.entries(files).map(([name, bytes]) => {
      return { ...descriptorOf('application/vnd.oci.image.layer.v1.tar', bytes), annotations: { [title]: name } };
    });
    for (const bytes of [...Object.values(files), emptyConfig]) await this.#pushBlob(bytes);
    const annotations = { 'org.opencontainers.image.created': '2026-01-01T00:00:00Z' };
    const data = emptyConfig.toString('base64');
    const head = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, artifactType, config: { ...config, data } };
    return Buffer.from(JSON.stringify({ ...head, layers, ...(subject === undefined ? {} : { subject }), annotations }));
  }

  async #pushBlob(bytes: Buffer): Promise<void> {
    const digest = hashBytes(bytes);
    const path = `${this.#path}/blobs/${digest}`;
    const found = await this.#send('HEAD', path);
    if (found.status === 200) return expectDigest(found, digest);
    expectStatus(found, 404);
    const begun = await this.#send('POST', `${this.#path}/blobs/uploads/`, { 'content-length': '0' });
    expectStatus(begun, 202);
    const location = new URL(begun.headers.location ?? '', this.#url);
    if (location.host !== new URL(this.#url).host) throw new Error(`Location ${location} is on a different host`);
    location.searchParams.set('digest', digest);
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(bytes.length) };
    expectStatus(await this.#send('PUT', location.pathname + location.search, headers, bytes), 201);
  }

  async #manifestExists(manifest: Buffer): Promise<boolean> {
    const path = `${this.#path}/manifests/${hashBytes(manifest)}`;
    const answer = await this.#send('HEAD', path, { accept: manifestTypes });
    if (answer.status !== 404) expectStatus(answer, 200);
    return answer.status === 200;
  }

  async #putManifest(reference: string, manifest: Buffer, mediaType: string = mediaTypes.ociManifest): Promise<void> {
    const headers = { 'content-type': mediaType, 'content-length': String(manifest.length) };
    const answer = await this.#send('PUT', `${this.#path}/manifests/${reference}`, headers, manifest);
    expectStatus(answer, 201);
    expectDigest(answer, hashBytes(manifest));
    if (answer.headers['oci-subject'] !== undefined) this.#listsReferrers = true;
  }

  async #resolve(reference: string): Promise<Descriptor> {
    const answer = await this.#send('HEAD', `${this.#path}/manifests/${reference}`, { accept: manifestTypes });
    expectStatus(answer, 200);
    return describe(answer);
  }

  async #fetchManifest(reference: string, accept: string): Promise<{ descriptor: Descriptor; document: Document }> {
    const answer = await this.#send('GET', `${this.#path}/manifests/${reference}`, { accept });
    expectStatus(answer, 200);
    const descriptor = describe(answer);
    if (hashBytes(answer.body) !== descriptor.digest) throw new Error(`${reference} has other bytes than its digest`);
    return { descriptor, document: JSON.parse(answer.body.toString()) as Document };
  }

  /** Asks for the referrers of a digest that nothing has, as oras does to learn whether there is such a list. */
  async #pingReferrers(): Promise<boolean> {
    if (this.#listsReferrers !== undefined) return this.#listsReferrers;
    const answer = await this.#send('GET', `${this.#path}/referrers/sha256:${'0'.repeat(64)}`);
    if (answer.status !== 404) expectStatus(answer, 200);
    else if (answer.body.includes('NAME_UNKNOWN')) throw new Error('the repository is not known');
    this.#listsReferrers = answer.status === 200 && answer.headers['content-type'] === mediaTypes.ociIndex;
    return this.#listsReferrers;
  }

  /** The list that clients keep under a tag, where the registry keeps none. */
  async #fallbackIndex(subject: Digest): Promise<{ digest: Digest; entries: readonly Descriptor[] } | undefined> {
    const path = `${this.#path}/manifests/${subject.replace(':', '-')}`;
    const answer = await this.#send('GET', path, { accept: manifestTypes });
    if (answer.status === 404) return undefined;
    expectStatus(answer, 200);
    const { manifests = [] } = JSON.parse(answer.body.toString()) as Document;
    return { digest: describe(answer).digest, entries: manifests };
  }

  async #changeFallbackIndex(
    subject: Digest,
    change: (entries: readonly Descriptor[]) => readonly Descriptor[],
  ): Promise<void> {
    const former = await this.#fallbackIndex(subject);
    const manifests = change(former?.entries ?? []);
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
    if (manifests.length > 0) await this.#putManifest(subject.replace(':', '-'), index, mediaTypes.ociIndex);
    if (former !== undefined) await this.#delete(former.digest);
  }

  async #delete(digest: Digest): Promise<void> {
    const answer = await this.#send('DELETE', `${this.#path}/manifests/${digest}`);
    expectStatus(answer, 202);
    expectDigest(answer, digest);
  }

  /** One request with these headers and those that Go sets, and no others. */
  async #send(method: string, path: string, headers: Record<string, string> = {}, body?: Buffer): Promise<Answer> {
    this.asked.push(`${method} ${path}`);
    const always = { 'user-agent': 'oras/1.2.2', 'accept-encoding': 'gzip' };
    return new Promise((resolve, reject) => {
      const asked = request(new URL(path, this.#url), { method, headers: { ...always, ...headers } });
      asked.on('error', reject);
      asked.on('response', (answer) => {
        const done = (bytes: Buffer) => {
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: bytes });
        };
        buffer(answer).then(done, reject);
      });
      asked.end(body);
    });
  }
}

function descriptorOf(mediaType: string, bytes: Buffer): Descriptor {
  return { mediaType, digest: hashBytes(bytes), size: bytes.length };
}

/** What an answer says of a manifest; oras takes none that lacks one of the three headers. */
function describe({ headers }: Answer): Descriptor {
  const { 'content-type': mediaType, 'content-length': size, 'docker-content-digest': digest } = headers;
  if (mediaType === undefined || size === undefined || digest === undefined) throw new Error('missing required header');
  return { mediaType, digest: digest as Digest, size: Number(size) };
}

function expectStatus(answer: Answer, status: number): void {
  if (answer.status !== status) throw new Error(`expected ${status}, got ${answer.status}: ${answer.body}`);
}

function expectDigest({ headers }: Answer, digest: Digest): void {
  const found = headers['docker-content-digest'];
  if (found !== undefined && found !== digest)
    throw new Error(`digest mismatch: received ${found}, expected ${digest}`);
}
