import type { Dispatcher } from 'undici';
import { crc32c, formatCrc32c } from './crc32c.ts';
import { ChecksumError, isMissing, SourceChangedError, statusOf } from './errors.ts';
import {
  factsOf,
  inOrder,
  type ListAnswer,
  type ObjectFacts,
  type ObjectResource,
  objectFields,
  propertiesOf,
  type SourceObject,
} from './object-facts.ts';
import { type GcsRequests, multipartBody } from './requests.ts';

/** What a write asks for and says. */
export interface WriteOptions {
  /** Only over this generation; `'0'`: only where nothing is. */
  readonly ifGeneration?: string | undefined;
  /** Kept with the object: tells whether a write whose answer was lost has been done. */
  readonly writeId?: string;
  readonly signal?: AbortSignal | undefined;
}

/** What a listing asks for. */
export interface ListRequest {
  readonly prefix: string;
  /** Only the next part of each name, as in a directory. */
  readonly isShallow?: boolean;
  /** Names before this one are left out. */
  readonly startOffset?: string | undefined;
  readonly pageSize?: number | undefined;
}

/** A part of a listing. */
export interface ObjectPage {
  readonly objects: readonly ObjectFacts[];
  /** For the next one; `undefined` after the last. */
  readonly token: string | undefined;
}

interface RewriteAnswer {
  readonly done: boolean;
  readonly rewriteToken?: string;
  readonly resource?: ObjectResource;
}

/** The service's own limit for what one call joins. */
export const maxComposed = 32;

/** The service has pages of 1000 at most. */
export const maxPageSize = 1000;

/** The requests about objects of one bucket, by their names. Errors are those of {@link GcsRequests}. */
export class ObjectStore {
  readonly #requests: GcsRequests;
  readonly #pageSize: number;

  constructor(requests: GcsRequests, options: { readonly pageSize?: number | undefined } = {}) {
    this.#requests = requests;
    this.#pageSize = options.pageSize ?? maxPageSize;
  }

  /** `undefined` when there is no such object. */
  async find(name: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const call = { method: 'GET', path: pathOf(name), query: { fields: objectFields }, signal } as const;
    try {
      return factsOf(await this.#requests.json<ObjectResource>(call));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Opens an object for reading; of a generation, it is the very bytes that were there under it. The signal ends the body, too. */
  open(
    name: string,
    range: { readonly offset: number; readonly length?: number | undefined; readonly generation?: string },
    signal: AbortSignal | undefined,
  ): Promise<Dispatcher.ResponseData> {
    const { offset, length, generation } = range;
    const last = length === undefined ? '' : offset + length - 1;
    const whole = offset === 0 && length === undefined;
    // What is stored compressed is sent as it is; else the service would unpack it, and it would have no length.
    const headers = { 'accept-encoding': 'gzip', ...(whole ? {} : { range: `bytes=${offset}-${last}` }) };
    return this.#requests.open({
      method: 'GET',
      path: pathOf(name),
      query: { alt: 'media', generation },
      headers,
      signal,
    });
  }

  /** Puts a whole object in one step. The service checks the bytes by their CRC32C, and refuses others. */
  async put(name: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<SourceObject> {
    const sum = crc32c(bytes);
    const metadata = { name, crc32c: formatCrc32c(sum), ...propertiesOf(options) };
    const answer = await this.#requests.json<ObjectResource>({
      method: 'POST',
      path: '/o',
      isUpload: true,
      query: { uploadType: 'multipart', fields: objectFields, ifGenerationMatch: options.ifGeneration },
      ...multipartBody(metadata, bytes),
      signal: options.signal,
    });
    return this.#checked(answer, { sizeBytes: bytes.length, crc32c: sum });
  }

  /** @returns whether it was there; false as well when another generation is there than the one asked for */
  async delete(name: string, options: Pick<WriteOptions, 'ifGeneration' | 'signal'> = {}): Promise<boolean> {
    const query = { ifGenerationMatch: options.ifGeneration };
    try {
      await this.#requests.empty({ method: 'DELETE', path: pathOf(name), query, signal: options.signal });
      return true;
    } catch (error) {
      if (isMissing(error) || statusOf(error) === 412) return false;
      throw error;
    }
  }

  /** Names in the order of their bytes; with `isShallow` names that end in a slash stand for all that begin so. */
  async *list(request: ListRequest, signal?: AbortSignal): AsyncIterable<ObjectFacts> {
    let token: string | undefined;
    do {
      const page: ObjectPage = await this.listPage(request, token, signal);
      yield* page.objects;
      token = page.token;
    } while (token !== undefined);
  }

  /** One page of {@link list}, the first without a token. */
  async listPage(request: ListRequest, token: string | undefined, signal?: AbortSignal): Promise<ObjectPage> {
    const { prefix, isShallow = false, startOffset, pageSize = maxPageSize } = request;
    const query = {
      prefix,
      // The token knows where its page begins.
      startOffset: token === undefined ? startOffset : undefined,
      pageToken: token,
      delimiter: isShallow ? '/' : undefined,
      maxResults: String(Math.min(pageSize, this.#pageSize)),
      fields: `items(${objectFields}),prefixes,nextPageToken`,
    };
    const page = await this.#requests.json<ListAnswer>({ method: 'GET', path: '/o', query, signal });
    if (page.nextPageToken !== undefined && page.nextPageToken === token) {
      throw new Error(`the service gave the page "${token}" twice`);
    }
    return { objects: inOrder(page), token: page.nextPageToken };
  }

  /**
   * Makes an object of others, one behind the other, of {@link maxComposed} at most. The service has read none of the bytes
   * anew, so what it says of them is compared with what they were sent as.
   * @throws SourceChangedError when one of the sources is not there as it was, or the target is not as asked for
   */
  async compose(
    sources: readonly SourceObject[],
    target: string,
    expected: { readonly sizeBytes: number; readonly crc32c: number },
    options: WriteOptions = {},
  ): Promise<SourceObject> {
    const body = {
      kind: 'storage#composeRequest',
      sourceObjects: sources.map(({ name, generation }) => ({ name, generation })),
      destination: propertiesOf(options),
    };
    const query = { fields: objectFields, ifGenerationMatch: options.ifGeneration };
    const call = {
      method: 'POST',
      path: `${pathOf(target)}/compose`,
      query,
      ...jsonBody(body),
      signal: options.signal,
    } as const;
    try {
      return await this.#checked(await this.#requests.json<ObjectResource>(call), expected);
    } catch (error) {
      throw asSourceChanged(error, 'another writer has gone on with the unfinished bytes, or removed them');
    }
  }

  /**
   * Copies what an object was under one generation, in as many calls as the service wants. The target changes in one step.
   * @throws SourceChangedError when it has gone or is another; the target is as it was
   */
  async rewrite(
    source: Pick<ObjectFacts, 'name' | 'generation' | 'sizeBytes' | 'crc32c'>,
    target: string,
    signal?: AbortSignal,
  ): Promise<SourceObject> {
    const path = `${pathOf(source.name)}/rewriteTo${this.#requests.bucketPath}${pathOf(target)}`;
    let rewriteToken: string | undefined;
    for (;;) {
      const query = {
        sourceGeneration: source.generation,
        rewriteToken,
        fields: `done,rewriteToken,resource(${objectFields})`,
      };
      try {
        const answer: RewriteAnswer = await this.#requests.json({
          method: 'POST',
          path,
          query,
          ...jsonBody({}),
          signal,
        });
        if (answer.done && answer.resource !== undefined) return await this.#checked(answer.resource, source);
        rewriteToken = answer.rewriteToken;
      } catch (error) {
        throw asSourceChanged(error, 'it was changed or removed while it was copied');
      }
    }
  }

  /** What the service has under a name is taken away again when it is not what was to be there. @throws ChecksumError */
  async #checked(
    resource: ObjectResource,
    expected: { readonly sizeBytes: number; readonly crc32c: number | undefined },
  ): Promise<SourceObject> {
    const { name, generation, sizeBytes, crc32c: sum } = factsOf(resource);
    if (sizeBytes === expected.sizeBytes && sum !== undefined && sum === (expected.crc32c ?? sum)) {
      return { name, generation, sizeBytes, crc32c: sum };
    }
    await this.delete(name, { ifGeneration: generation });
    const wanted = `${expected.sizeBytes} bytes of CRC32C ${expected.crc32c}`;
    throw new ChecksumError(
      `the service has ${sizeBytes} bytes of CRC32C ${sum}, expected ${wanted}; they are removed`,
    );
  }
}

function pathOf(name: string): string {
  return `/o/${encodeURIComponent(name)}`;
}

function jsonBody(value: object): { readonly headers: Readonly<Record<string, string>>; readonly body: string } {
  return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) };
}

function asSourceChanged(error: unknown, message: string): unknown {
  const isChanged = isMissing(error) || statusOf(error) === 412;
  return isChanged ? new SourceChangedError(message, { cause: error }) : error;
}
