import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { type Digest, type DigestAlgorithm, hashBytes, mediaTypes } from '../../src/core/index.ts';

/** What a test looks at in an answer. */
export interface TestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  /** The codes of an error body; none when it is no error body. */
  readonly codes: readonly string[];
}

/** What goes with a request. */
interface CallOptions {
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array>;
}

/** A registry client that does exactly what a test says, and nothing else. */
export class TestClient {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  /** Where a request is sent. A client of several servers chooses one. */
  urlFor(_method: string, path: string): URL {
    return new URL(path, this.url);
  }

  /** One request; redirects are not followed. */
  async call(method: string, path: string, { headers = {}, body }: CallOptions = {}): Promise<TestAnswer> {
    const response = await fetch(this.urlFor(method, path), {
      method,
      headers,
      redirect: 'manual',
      ...(body === undefined ? {} : { body, duplex: 'half' }),
    } as RequestInit);
    const bytes = Buffer.from(await response.arrayBuffer());
    return { status: response.status, headers: response.headers, body: bytes, codes: codesOf(bytes) };
  }

  /** Begins an upload and gives its path. */
  async begin(repository: string): Promise<string> {
    const answer = await this.call('POST', `/v2/${repository}/blobs/uploads/`);
    if (answer.status !== 202) throw new Error(`POST answered ${answer.status}: ${answer.body}`);
    return answer.headers.get('location') ?? '';
  }

  /** Puts a blob in two requests and gives its digest. */
  async putBlob(repository: string, bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Promise<Digest> {
    const digest = hashBytes(bytes, algorithm);
    const location = await this.begin(repository);
    // Other registries keep their state in the query of the location.
    const separator = location.includes('?') ? '&' : '?';
    const answer = await this.call('PUT', `${location}${separator}digest=${digest}`, { body: bytes });
    if (answer.status !== 201) throw new Error(`PUT answered ${answer.status}: ${answer.body}`);
    return digest;
  }

  /** Puts a manifest under a reference; the answer is not judged. */
  putManifest(repository: string, reference: string, document: object, type?: string): Promise<TestAnswer> {
    const mediaType = type ?? ((document as { mediaType?: string }).mediaType as string);
    return this.call('PUT', `/v2/${repository}/manifests/${reference}`, {
      body: Buffer.from(JSON.stringify(document)),
      headers: { 'content-type': mediaType },
    });
  }

  /** Puts an image of one layer with its blobs under tags; gives the manifest and its digest. */
  async putImage(
    repository: string,
    tags: readonly string[],
    seed = repository,
  ): Promise<{ readonly digest: Digest; readonly bytes: Buffer }> {
    const document = await this.imageOf(repository, seed);
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = hashBytes(bytes);
    for (const reference of [digest, ...tags]) {
      const answer = await this.putManifest(repository, reference, document);
      if (answer.status !== 201) throw new Error(`PUT answered ${answer.status}: ${answer.body}`);
    }
    return { digest, bytes };
  }

  /** An image manifest whose blobs are in the repository already. */
  async imageOf(repository: string, seed: string, more: object = {}): Promise<object> {
    const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', seed }));
    const layer = Buffer.from(`layer of ${seed}`);
    await this.putBlob(repository, config);
    await this.putBlob(repository, layer);
    return {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: descriptorOf(mediaTypes.ociConfig, config),
      layers: [descriptorOf(mediaTypes.ociLayerTar, layer)],
      ...more,
    };
  }

  /** A request whose body the test writes by itself, to break it off. */
  open(method: string, path: string, headers: Record<string, string> = {}): ClientRequest {
    return httpRequest(this.urlFor(method, path), { method, headers, agent: false });
  }
}

/** A descriptor of bytes. */
export function descriptorOf(mediaType: string, bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): object {
  return { mediaType, digest: hashBytes(bytes, algorithm), size: bytes.length };
}

/** The answer to a request made with {@link TestClient.open}. */
export function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', reject);
  });
}

/** Bytes that no other seed gives, without a pattern that a wrong offset could hide behind. */
export function bytesOf(seed: string, length: number): Buffer {
  const parts: Buffer[] = [];
  for (let size = 0, round = 0; size < length; round += 1) {
    const digest = hashBytes(Buffer.from(`${seed} ${round}`), 'sha512');
    const part = Buffer.from(digest.slice('sha512:'.length), 'hex');
    parts.push(part);
    size += part.length;
  }
  return Buffer.concat(parts).subarray(0, length);
}

function codesOf(bytes: Buffer): string[] {
  try {
    const { errors } = JSON.parse(bytes.toString('utf8')) as { errors?: { code: string }[] };
    return errors?.map((entry) => entry.code) ?? [];
  } catch {
    // No JSON: no error body.
    return [];
  }
}
