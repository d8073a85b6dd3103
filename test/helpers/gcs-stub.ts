import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { CRC32C } from '@google-cloud/storage';
import { GcsFault, StubIdentity } from './gcs-stub-identity.ts';

interface StoredObject {
  readonly name: string;
  readonly content: Buffer;
  readonly generation: bigint;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
}

/** What a service must not keep between its own restarts is not in here: objects, and who may sign in. */
export interface StubState {
  readonly objects: Map<string, StoredObject>;
  readonly identity: StubIdentity;
}

/**
 * One bucket as the documents of Google Cloud Storage's JSON API have it: what the gcs driver uses of it, refused where the
 * service would refuse it. With signing in (`gcs-stub-identity.ts`), pages of a few names, rewrites that take several calls,
 * generations and their conditions, checksums, and downloads by signed URLs. Not a proof that the service does the same.
 */
export class GcsStub {
  readonly bucket = 'stub-bucket';
  readonly state: StubState;
  /** Method and URL of every request, in order. */
  readonly requests: string[] = [];
  /** What stands in place of the CRC32C of what is put or composed next, as of bytes that were changed on their way. */
  wrongChecksum: ((name: string) => boolean) | undefined;
  readonly #pageSize: number;
  readonly #rewriteBytes: number;
  readonly #rewrites = new Map<string, number>();
  readonly #server = createServer((request, response) => {
    request.on('error', () => response.destroy());
    this.#serve(request, response).catch((error: unknown) => answerFault(response, error));
  });

  private constructor({ pageSize = 3, rewriteBytes = 1_000_000, state }: StubOptions) {
    this.#pageSize = pageSize;
    this.#rewriteBytes = rewriteBytes;
    this.state = state ?? { objects: new Map(), identity: new StubIdentity() };
  }

  /** Whoever starts it stops it. */
  static async start(options: StubOptions = {}): Promise<GcsStub> {
    const stub = new GcsStub(options);
    await new Promise<void>((resolve) => stub.#server.listen(options.port ?? 0, '127.0.0.1', resolve));
    return stub;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Parameters of the gcs driver for this bucket. */
  get parameters() {
    return { bucket: this.bucket, apiendpoint: this.url, credentials: this.state.identity.keyFile(this.url) };
  }

  /** Names of all objects, in order. */
  get names(): string[] {
    return [...this.state.objects.keys()].sort();
  }

  /** As a kill: connections are cut. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Puts an object as another program does. */
  put(name: string, content: string | Buffer, contentType = 'application/octet-stream'): void {
    this.#store({ name, content: Buffer.from(content), contentType, metadata: {} });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(`${request.method} ${request.url}`);
    const url = new URL(request.url ?? '', this.url);
    const call = { request, response, query: url.searchParams };
    if (url.pathname === '/token') return this.#giveToken(call);
    const signedPath = `/${this.bucket}/`;
    if (url.pathname.startsWith(signedPath)) {
      this.state.identity.checkSignedUrl(request.method ?? '', url);
      return this.#download(call, decodeURIComponent(url.pathname.slice(signedPath.length)));
    }
    const [, isUpload, bucket, rest = ''] = /^(\/upload)?\/storage\/v1\/b\/([^/]+)\/o(.*)$/.exec(url.pathname) ?? [];
    if (bucket === undefined) throw new GcsFault(404, 'notFound', 'Not Found');
    this.state.identity.checkToken(request.headers.authorization);
    if (decodeURIComponent(bucket) !== this.bucket) {
      request.resume();
      throw new GcsFault(404, 'notFound', 'The specified bucket does not exist.');
    }
    if (isUpload !== undefined) return this.#insert(call);
    if (rest === '') return answerJson(response, this.#list(call.query));
    const [name = '', verb, ...more] = rest.slice(1).split('/').map(decodeURIComponent);
    return this.#serveObject(call, { name, verb, more });
  }

  async #serveObject(call: Call, { name, verb, more }: { name: string; verb: string | undefined; more: string[] }) {
    const { request, response, query } = call;
    switch (`${request.method} ${verb ?? ''}`) {
      case 'GET ':
        if (query.get('alt') === 'media') return this.#download(call, name);
        return answerJson(response, this.#resource(this.#get(name, query.get('generation'))));
      case 'DELETE ':
        this.#get(name);
        this.#checkCondition(name, query.get('ifGenerationMatch'));
        this.state.objects.delete(name);
        response.writeHead(204).end();
        return;
      case 'POST compose':
        return this.#compose(call, name);
      case 'POST rewriteTo':
        return this.#rewrite(call, name, more[3] ?? '');
      default:
        throw new GcsFault(400, 'invalid', `no such call: ${request.method} ${verb}`);
    }
  }

  async #giveToken({ request, response }: Call): Promise<void> {
    const form = new URLSearchParams((await buffer(request)).toString());
    const token = await this.state.identity.exchange(form);
    if (token === undefined) {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: 'invalid_grant', error_description: 'Invalid JWT Signature.' }));
      return;
    }
    answerJson(response, { access_token: token, expires_in: 3599, token_type: 'Bearer' });
  }

  async #insert({ request, response, query }: Call): Promise<void> {
    const body = await buffer(request);
    const [, boundary] = /boundary=(.+)$/.exec(request.headers['content-type'] ?? '') ?? [];
    if (query.get('uploadType') !== 'multipart' || boundary === undefined) {
      throw new GcsFault(400, 'invalid', 'expected uploadType=multipart');
    }
    if (Number(request.headers['content-length']) !== body.length) throw new GcsFault(400, 'invalid', 'cut body');
    const separator = Buffer.from('\r\n\r\n');
    const firstEnd = body.indexOf(`\r\n--${boundary}`, body.indexOf(separator));
    const first = body.subarray(body.indexOf(separator) + 4, firstEnd);
    const start = body.indexOf(separator, firstEnd) + 4;
    const content = Buffer.from(body.subarray(start, body.lastIndexOf(`\r\n--${boundary}--`)));
    const resource = JSON.parse(first.toString());
    if (resource.crc32c !== undefined && resource.crc32c !== crcOf(content)) {
      throw new GcsFault(400, 'invalid', `Provided CRC32C "${resource.crc32c}" doesn't match calculated CRC32C`);
    }
    this.#checkCondition(resource.name, query.get('ifGenerationMatch'));
    answerJson(response, this.#resource(this.#store({ ...withDefaults(resource), name: resource.name, content })));
  }

  async #compose({ request, response, query }: Call, name: string): Promise<void> {
    const { sourceObjects, destination = {} } = JSON.parse((await buffer(request)).toString());
    if (sourceObjects.length === 0 || sourceObjects.length > 32) {
      throw new GcsFault(400, 'invalid', 'The number of source components provided is out of 1 to 32');
    }
    const sources = sourceObjects.map((source: { name: string; generation?: string }) =>
      this.#get(source.name, source.generation ?? null),
    );
    this.#checkCondition(name, query.get('ifGenerationMatch'));
    const content = Buffer.concat(sources.map((source: StoredObject) => source.content));
    answerJson(response, this.#resource(this.#store({ ...withDefaults(destination), name, content })));
  }

  /** Each call copies so many bytes; the last one shows the object. */
  async #rewrite({ request, response, query }: Call, name: string, target: string): Promise<void> {
    await buffer(request);
    const source = this.#get(name, query.get('sourceGeneration'));
    const token = query.get('rewriteToken');
    const before = token === null ? 0 : this.#rewrites.get(token);
    if (before === undefined) throw new GcsFault(400, 'invalid', 'Invalid rewriteToken');
    const done = before + this.#rewriteBytes;
    if (done < source.content.length) {
      const rewriteToken = `token-${this.#rewrites.size}`;
      this.#rewrites.set(rewriteToken, done);
      answerJson(response, { kind: 'storage#rewriteResponse', done: false, rewriteToken });
      return;
    }
    const { content, contentType, metadata } = source;
    const resource = this.#resource(this.#store({ name: target, content, contentType, metadata }));
    answerJson(response, { kind: 'storage#rewriteResponse', done: true, resource });
  }

  #download({ request, response, query }: Call, name: string): void {
    const found = this.#get(name, query.get('generation'));
    const { content } = found;
    const headers = {
      'content-type': found.contentType,
      'x-goog-generation': String(found.generation),
      'x-goog-hash': `crc32c=${crcOf(content)}`,
    };
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    if (from === undefined) {
      response.writeHead(200, { ...headers, 'content-length': content.length }).end(content);
      return;
    }
    const start = Number(from);
    if (start >= content.length)
      throw new GcsFault(416, 'requestedRangeNotSatisfiable', 'Request range not satisfiable');
    const end = to === '' ? content.length : Math.min(content.length, Number(to) + 1);
    const range = `bytes ${start}-${end - 1}/${content.length}`;
    response.writeHead(206, { ...headers, 'content-length': end - start, 'content-range': range });
    response.end(content.subarray(start, end));
  }

  /** One page: items and prefixes together, in the order of their bytes; the token is the last of them. */
  #list(query: URLSearchParams): object {
    const prefix = query.get('prefix') ?? '';
    const delimiter = query.get('delimiter');
    const startOffset = query.get('startOffset') ?? '';
    const behind = Buffer.from(query.get('pageToken') ?? '', 'base64').toString();
    const entries = new Set<string>();
    for (const name of this.names) {
      if (!name.startsWith(prefix) || name < startOffset) continue;
      const end = delimiter === null ? -1 : name.indexOf(delimiter, prefix.length);
      entries.add(end < 0 ? name : name.slice(0, end + 1));
    }
    const sorted = [...entries].sort().filter((entry) => entry > behind);
    const page = sorted.slice(0, Math.min(this.#pageSize, Number(query.get('maxResults') ?? 1000)));
    const isPrefix = (entry: string) => delimiter !== null && entry.slice(prefix.length).endsWith(delimiter);
    const items = page.filter((entry) => !isPrefix(entry)).map((entry) => this.#resource(this.#get(entry)));
    const last = page.length < sorted.length ? page.at(-1) : undefined;
    return {
      kind: 'storage#objects',
      ...(items.length > 0 ? { items } : {}),
      ...(page.some(isPrefix) ? { prefixes: page.filter(isPrefix) } : {}),
      ...(last === undefined ? {} : { nextPageToken: Buffer.from(last).toString('base64') }),
    };
  }

  #get(name: string, generation: string | null = null): StoredObject {
    const found = this.state.objects.get(name);
    if (found === undefined || (generation !== null && generation !== String(found.generation))) {
      throw new GcsFault(404, 'notFound', `No such object: ${this.bucket}/${name}`);
    }
    return found;
  }

  #checkCondition(name: string, generation: string | null): void {
    if (generation === null || generation === String(this.state.objects.get(name)?.generation ?? 0)) return;
    throw new GcsFault(412, 'conditionNotMet', 'At least one of the pre-conditions you specified did not hold.');
  }

  /** A generation is a time in microseconds. The service takes about one write a second of a name; here it is one a millisecond. */
  #store(object: Omit<StoredObject, 'generation'>): StoredObject {
    if (Buffer.byteLength(object.name) > 1024) throw new GcsFault(400, 'invalid', 'The specified name is too long.');
    const now = BigInt(Date.now()) * 1000n;
    const before = this.state.objects.get(object.name)?.generation ?? 0n;
    const after = before + 1000n > now ? before + 1000n : now;
    const stored = { ...object, generation: after + BigInt(Math.floor(Math.random() * 999)) };
    this.state.objects.set(object.name, stored);
    return stored;
  }

  #resource({ name, content, generation, contentType, metadata }: StoredObject): object {
    const time = new Date(Number(generation / 1000n)).toISOString();
    const crc32c = this.wrongChecksum?.(name) ? 'AAAAAA==' : crcOf(content);
    const size = String(content.length);
    return {
      kind: 'storage#object',
      name,
      bucket: this.bucket,
      generation: String(generation),
      metageneration: '1',
      size,
      crc32c,
      contentType,
      timeCreated: time,
      updated: time,
      metadata,
    };
  }
}

/** How a stub is started: `state` of an earlier one makes it a restart of that, `port` where that was. */
export interface StubOptions {
  readonly pageSize?: number;
  readonly rewriteBytes?: number;
  readonly state?: StubState;
  readonly port?: number;
}

function withDefaults(resource: { contentType?: string; metadata?: Record<string, string> }) {
  const { contentType = 'application/octet-stream', metadata = {} } = resource;
  return { contentType, metadata };
}

/** The SDK's own CRC32C, not the driver's. */
function crcOf(content: Buffer): string {
  const crc = new CRC32C();
  crc.update(content);
  return crc.toString();
}

function answerJson(response: ServerResponse, value: object): void {
  response.writeHead(200, { 'content-type': 'application/json; charset=UTF-8' }).end(JSON.stringify(value));
}

function answerFault(response: ServerResponse, error: unknown): void {
  const { code, reason, message } =
    error instanceof GcsFault ? error : new GcsFault(500, 'backendError', `defect of the stub: ${error}`);
  response.writeHead(code, { 'content-type': 'application/json; charset=UTF-8' });
  response.end(JSON.stringify({ error: { code, message, errors: [{ message, domain: 'global', reason }] } }));
}
