import type { Readable } from 'node:stream';
import { Agent, type Dispatcher } from 'undici';
import { type Digest, findDigest, hashBytes, MANIFEST_MAX_BYTES, mediaTypes } from '../../core/index.ts';
import { RegistryRequestError } from '../errors.ts';
import type { ManifestBytes, SourceBlob } from './image.ts';
import { askForToken } from './registry-token.ts';

/** How a registry is reached. */
export interface RegistryClientOptions {
  /** Such as `http://localhost:15000`, without a path. */
  readonly url: string;
  readonly signal?: AbortSignal;
}

/** Bytes of an upload that go in one request. */
const CHUNK_BYTES = 32 * 1024 * 1024;
const HEADERS_TIMEOUT_MS = 60_000;
const SILENCE_TIMEOUT_MS = 60_000;
const REDIRECTS_MAX = 5;

const manifestTypes = [
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerManifestList,
].join(', ');

/**
 * A small client of the registry HTTP API (OCI distribution specification 1.1): what `shoal up` needs to push and pull like
 * anybody else. Registries that hand out anonymous tokens work as well. The owner closes it.
 */
export class RegistryClient {
  readonly url: string;
  readonly #signal: AbortSignal | undefined;
  readonly #agent: Agent;
  readonly #tokens = new Map<string, string>();

  constructor({ url, signal }: RegistryClientOptions) {
    this.url = url.replace(/\/$/, '');
    this.#signal = signal;
    this.#agent = new Agent({ connections: 16, bodyTimeout: SILENCE_TIMEOUT_MS, headersTimeout: HEADERS_TIMEOUT_MS });
  }

  async hasBlob(repository: string, digest: Digest): Promise<boolean> {
    const path = `/v2/${repository}/blobs/${digest}`;
    const response = await this.#request(repository, { method: 'HEAD', path });
    await response.body.dump();
    if (response.statusCode === 404) return false;
    if (response.statusCode !== 200) throw failure('HEAD', this.url + path, response.statusCode, '');
    return true;
  }

  /** Uploads a blob in chunks, each with its place. `onBytes` hears what has been sent. */
  async pushBlob(repository: string, blob: SourceBlob, onBytes: (bytes: number) => void): Promise<void> {
    let location = await this.#step(repository, { method: 'POST', path: `/v2/${repository}/blobs/uploads/` }, 202);
    let offset = 0;
    for await (const chunk of inChunks(await blob.open(), CHUNK_BYTES)) {
      const headers = {
        'content-type': mediaTypes.octetStream,
        'content-range': `${offset}-${offset + chunk.length - 1}`,
        'content-length': String(chunk.length),
      };
      location = await this.#step(repository, { method: 'PATCH', path: location, headers, body: chunk }, 202);
      offset += chunk.length;
      onBytes(chunk.length);
    }
    const end = new URL(location, this.url);
    end.searchParams.set('digest', blob.digest);
    await this.#step(repository, { method: 'PUT', path: end.pathname + end.search }, 201);
  }

  async pushManifest(repository: string, reference: string, manifest: ManifestBytes): Promise<void> {
    const path = `/v2/${repository}/manifests/${reference}`;
    const headers = { 'content-type': manifest.mediaType };
    await this.#step(repository, { method: 'PUT', path, headers, body: manifest.bytes }, 201);
  }

  /** A manifest by tag or digest; its digest is computed from what came. */
  async pullManifest(repository: string, reference: string): Promise<ManifestBytes> {
    const path = `/v2/${repository}/manifests/${reference}`;
    const response = await this.#request(repository, { method: 'GET', path, headers: { accept: manifestTypes } });
    if (response.statusCode !== 200) throw await this.#failureOf('GET', path, response);
    const bytes = Buffer.from(await response.body.arrayBuffer());
    if (bytes.length > MANIFEST_MAX_BYTES) {
      throw new RegistryRequestError(`the manifest at ${this.url}${path} has ${bytes.length} bytes, too many for one`);
    }
    const asked = findDigest(reference);
    const digest = hashBytes(bytes, asked?.startsWith('sha512:') === true ? 'sha512' : 'sha256');
    if (asked !== undefined && asked !== digest) {
      throw new RegistryRequestError(`the manifest at ${this.url}${path} has the digest ${digest}`, { digest });
    }
    const mediaType = String(response.headers['content-type'] ?? '').split(';')[0] ?? '';
    return { bytes, mediaType: mediaType.trim(), digest };
  }

  /** The bytes of a blob, not checked. The caller reads the stream to its end or destroys it. */
  async pullBlob(repository: string, digest: Digest): Promise<Readable> {
    const path = `/v2/${repository}/blobs/${digest}`;
    const response = await this.#request(repository, { method: 'GET', path });
    if (response.statusCode !== 200) throw await this.#failureOf('GET', path, response);
    return response.body;
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** One step of an upload. @returns where the next one goes */
  async #step(repository: string, request: RegistryRequest, expected: number): Promise<string> {
    const response = await this.#request(repository, request);
    if (response.statusCode !== expected) throw await this.#failureOf(request.method, request.path, response);
    await response.body.dump();
    const location = response.headers['location'];
    if (typeof location !== 'string') {
      throw new RegistryRequestError(`${request.method} ${this.url}${request.path} was answered without a Location`);
    }
    const next = new URL(location, this.url);
    return next.pathname + next.search;
  }

  /** Sends a request, with the token of the repository if the registry asks for one; follows redirects of reads. */
  async #request(repository: string, request: RegistryRequest): Promise<Dispatcher.ResponseData> {
    let response = await this.#send(new URL(this.url + request.path), request, this.#tokens.get(repository));
    if (response.statusCode === 401 && !this.#tokens.has(repository)) {
      await response.body.dump();
      const token = await askForToken(this.#agent, String(response.headers['www-authenticate'] ?? ''), this.#signal);
      if (token === undefined) throw failure(request.method, this.url + request.path, 401, 'it asks for a login');
      this.#tokens.set(repository, token);
      response = await this.#send(new URL(this.url + request.path), request, token);
    }
    let from = new URL(this.url + request.path);
    for (let count = 0; request.method === 'GET' && isRedirect(response.statusCode); count++) {
      const location = response.headers['location'];
      await response.body.dump();
      if (typeof location !== 'string' || count === REDIRECTS_MAX) {
        throw failure(request.method, from.href, response.statusCode, 'redirected too often, or to nowhere');
      }
      from = new URL(location, from);
      // The token is for the registry, not for the storage that it points at.
      response = await this.#send(
        from,
        request,
        from.origin === new URL(this.url).origin ? this.#tokens.get(repository) : undefined,
      );
    }
    return response;
  }

  async #send(url: URL, request: RegistryRequest, token: string | undefined): Promise<Dispatcher.ResponseData> {
    try {
      return await this.#agent.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: request.method,
        headers: { ...request.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
        body: request.body ?? null,
        ...(this.#signal === undefined ? {} : { signal: this.#signal }),
      });
    } catch (cause) {
      if (this.#signal?.aborted === true) throw this.#signal.reason;
      const reason = cause instanceof Error ? cause.message || cause.name : String(cause);
      throw new RegistryRequestError(`${request.method} ${url.href} got no answer: ${reason}`, {}, { cause });
    }
  }

  async #failureOf(method: string, path: string, response: Dispatcher.ResponseData): Promise<RegistryRequestError> {
    const text = await response.body.text().catch(() => ''); // The status says enough when the body breaks off.
    return failure(method, this.url + path, response.statusCode, text.slice(0, 500));
  }
}

interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT';
  /** With the query, if there is one. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

function failure(method: string, url: string, status: number, text: string): RegistryRequestError {
  return new RegistryRequestError(`${method} ${url} was answered ${status}${text === '' ? '' : `: ${text}`}`, {
    status,
  });
}

/** Cuts a stream into pieces of one size; the last one is what is left. */
async function* inChunks(stream: Readable, sizeBytes: number): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let held = 0;
  for await (const part of stream as AsyncIterable<Buffer>) {
    parts.push(part);
    held += part.length;
    if (held < sizeBytes) continue;
    const all = Buffer.concat(parts);
    let offset = 0;
    for (; all.length - offset >= sizeBytes; offset += sizeBytes) yield all.subarray(offset, offset + sizeBytes);
    parts = [all.subarray(offset)];
    held = all.length - offset;
  }
  if (held > 0) yield Buffer.concat(parts);
}
