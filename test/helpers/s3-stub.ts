import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { onTestFinished } from 'vitest';

interface StoredObject {
  readonly content: Buffer;
  readonly etag: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly modified: Date;
}

/** An error of S3, as its documents name it. */
class S3Fault extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

/**
 * One bucket as the documents of Amazon S3 have it, for what no store at hand does: PutObject with If-Match and
 * If-None-Match, checksums that are demanded and checked, and pages of a few keys. Takes any signature. Not a proof that a
 * real store does the same.
 */
export class S3Stub {
  readonly objects = new Map<string, StoredObject>();
  /** Method and URL of every request, in order. */
  readonly requests: string[] = [];
  readonly #pageKeys: number;
  readonly #server = createServer((request, response) => {
    this.#serve(request, response).catch((error: unknown) => answerFault(response, error));
  });

  private constructor(pageKeys: number) {
    this.#pageKeys = pageKeys;
  }

  /** Serves until the test is over; listings have pages of at most `pageKeys`. */
  static async start({ pageKeys = 1000 } = {}): Promise<S3Stub> {
    const stub = new S3Stub(pageKeys);
    await new Promise<void>((resolve) => stub.#server.listen(0, '127.0.0.1', resolve));
    onTestFinished(async () => {
      stub.#server.closeAllConnections();
      await new Promise((resolve) => stub.#server.close(resolve));
    });
    return stub;
  }

  /** Parameters of the s3 driver for this bucket. */
  get parameters() {
    const regionendpoint = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    const credentials = { accesskey: 'anybody', secretkey: 'anything' };
    return {
      bucket: 'stub',
      regionendpoint,
      ...credentials,
      conditionalput: true,
      checksum: 'supported',
      contentmd5: false,
    };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(`${request.method} ${request.url}`);
    const body = await buffer(request);
    const url = new URL(request.url ?? '', 'http://stub');
    const key = decodeURIComponent(url.pathname).replace(/^\/stub\/?/, '');
    if (key === '') this.#serveBucket({ method: request.method, query: url.searchParams, body, request }, response);
    else this.#serveObject({ key, body, request }, response);
  }

  #serveBucket(
    call: { method: string | undefined; query: URLSearchParams; body: Buffer; request: IncomingMessage },
    response: ServerResponse,
  ): void {
    const { method, query, body, request } = call;
    if (method === 'GET' && query.has('uploads')) response.end('<ListMultipartUploadsResult/>');
    else if (method === 'GET' && query.get('list-type') === '2') response.end(this.#list(query));
    else if (method === 'POST' && query.has('delete')) {
      requireChecksum(request, body);
      for (const [, key = ''] of body.toString().matchAll(/<Key>(.*?)<\/Key>/g)) this.objects.delete(key);
      response.end('<DeleteResult/>');
    } else throw new S3Fault(501, 'NotImplemented');
  }

  #serveObject(
    { key, body, request }: { key: string; body: Buffer; request: IncomingMessage },
    response: ServerResponse,
  ): void {
    const found = this.objects.get(key);
    switch (request.method) {
      case 'PUT':
        requireChecksum(request, body);
        checkConditions(request, found);
        response.setHeader('etag', this.#put(key, body, request)).end();
        return;
      case 'DELETE':
        this.objects.delete(key);
        response.writeHead(204).end();
        return;
      case 'GET':
      case 'HEAD':
        if (found === undefined) throw new S3Fault(404, request.method === 'HEAD' ? 'NotFound' : 'NoSuchKey');
        response.writeHead(200, {
          ...found.headers,
          etag: found.etag,
          'last-modified': found.modified.toUTCString(),
          'content-length': found.content.length,
        });
        response.end(request.method === 'HEAD' ? undefined : found.content);
        return;
      default:
        throw new S3Fault(501, 'NotImplemented');
    }
  }

  #put(key: string, content: Buffer, request: IncomingMessage): string {
    const etag = `"${createHash('md5').update(content).digest('hex')}"`;
    const entries = Object.entries(request.headers).filter(([name]) => name.startsWith('x-amz-meta-'));
    const headers = Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
    this.objects.set(key, { content, etag, headers, modified: new Date() });
    return etag;
  }

  /** One page: keys and common prefixes together, in order of bytes; the token is the last of them. */
  #list(query: URLSearchParams): string {
    const prefix = query.get('prefix') ?? '';
    const delimiter = query.get('delimiter');
    const behind = query.get('continuation-token') ?? query.get('start-after') ?? '';
    const limit = Math.min(this.#pageKeys, Number(query.get('max-keys') ?? 1000));
    const entries = new Set<string>();
    for (const key of this.objects.keys()) {
      const end = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
      const entry = end < 0 ? key : key.slice(0, end + 1);
      // A common prefix stays in a listing that begins behind it as long as one of its keys is behind that, too.
      const isBehind = query.has('continuation-token') ? entry > behind : key > behind;
      if (key.startsWith(prefix) && isBehind) entries.add(entry);
    }
    const sorted = [...entries].sort();
    const page = sorted.slice(0, limit);
    const isTruncated = sorted.length > page.length;
    const items = page.map((entry) =>
      delimiter !== null && entry.endsWith(delimiter)
        ? `<CommonPrefixes><Prefix>${entry}</Prefix></CommonPrefixes>`
        : `<Contents><Key>${entry}</Key><Size>${this.objects.get(entry)?.content.length}</Size></Contents>`,
    );
    const token = isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
    return `<ListBucketResult><IsTruncated>${isTruncated}</IsTruncated>${token}${items.join('')}</ListBucketResult>`;
  }
}

function checkConditions({ headers }: IncomingMessage, found: StoredObject | undefined): void {
  if (headers['if-none-match'] === '*' && found !== undefined) throw new S3Fault(412, 'PreconditionFailed');
  const wanted = headers['if-match'];
  if (wanted === undefined) return;
  if (found === undefined) throw new S3Fault(404, 'NoSuchKey');
  if (found.etag !== wanted) throw new S3Fault(412, 'PreconditionFailed');
}

/** The checksum that the SDK sends unless it is told not to; S3 checks what is sent. */
function requireChecksum({ headers }: IncomingMessage, body: Buffer): void {
  const expected = Buffer.alloc(4);
  expected.writeUInt32BE(crc32(body));
  const given = headers['x-amz-checksum-crc32'];
  if (given === undefined) throw new S3Fault(400, 'InvalidRequest');
  if (given !== expected.toString('base64')) throw new S3Fault(400, 'BadDigest');
}

function answerFault(response: ServerResponse, error: unknown): void {
  const { status, code } = error instanceof S3Fault ? error : new S3Fault(500, 'InternalError');
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`);
}
