import { Readable } from 'node:stream';
import { PathNotFoundError } from '../errors.ts';
import { ResumedStream } from '../object-store/index.ts';
import type { ReadRange } from '../storage-driver.ts';
import { answerOf, isMissing, toDriverError } from './azure-errors.ts';
import { type BlobStore, isReadable } from './blob-store.ts';
import type { BlobNames } from './names.ts';
import { driverName } from './parameters.ts';
import type { Places } from './places.ts';

/** No blob is longer; above it, an offset is past the end of any, and a range could not be computed exactly. */
const maxBlobBytes = 2 ** 48;

/** How long a body may stand still while somebody waits for it, before it is asked for again. */
const defaultStallMs = 60_000;

/** Reads objects. */
export class BlobReads {
  readonly #store: BlobStore;
  readonly #names: BlobNames;
  readonly #places: Places;
  readonly #stallMs: number;

  constructor(parts: {
    readonly store: BlobStore;
    readonly names: BlobNames;
    readonly places: Places;
    /** For tests. */
    readonly stallMs?: number | undefined;
  }) {
    this.#store = parts.store;
    this.#names = parts.names;
    this.#places = parts.places;
    this.#stallMs = parts.stallMs ?? defaultStallMs;
  }

  /**
   * The bytes of a range, as they are now: an object that is replaced meanwhile ends the stream in an error, never in a mixture.
   * @throws PathNotFoundError, NotAFileError
   */
  async open(path: string, range: ReadRange, signal: AbortSignal | undefined): Promise<Readable> {
    const { offset } = range;
    const length = range.length === undefined ? undefined : Math.min(range.length, maxBlobBytes);
    if (length === 0 || offset > maxBlobBytes) {
      await this.#places.getObject(path, signal);
      return Readable.from([], { objectMode: false });
    }
    try {
      return await this.openBlob(this.#names.ofObject(path), path, { offset, length }, { signal });
    } catch (error) {
      if (answerOf(error)?.status === 416) return Readable.from([], { objectMode: false });
      if (isMissing(error)) return this.#places.throwMissing(path, signal);
      throw error;
    }
  }

  /**
   * Bytes of any blob, on behalf of a path. With `ifMatch`, of just that version. Errors are those of the SDK until the first
   * bytes come, then those of the driver.
   */
  async openBlob(
    name: string,
    path: string,
    range: { readonly offset: number; readonly length: number | undefined },
    { signal, ifMatch }: { readonly signal: AbortSignal | undefined; readonly ifMatch?: string },
  ): Promise<Readable> {
    // Ends the download with the stream, however that ends.
    const controller = new AbortController();
    const ending = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
    const first = { signal: ending, ...(ifMatch === undefined ? {} : { ifMatch }) };
    const answer = await this.#store.open(name, range, first);
    const body = answer.readableStreamBody as Readable;
    if (!isReadable(answer.copyStatus)) {
      // The SDK's stream reports its end as an error, which would end the process were nobody listening.
      body.on('error', () => undefined);
      controller.abort();
      throw new PathNotFoundError(driverName, path);
    }
    const lengthBytes = answer.contentLength ?? 0;
    const again = { signal: ending, ifMatch: answer.etag ?? '' };
    // The SDK's own stream does not go on after a connection that was reset, and waits for ever.
    return new ResumedStream({
      source: body,
      driverName,
      path,
      lengthBytes,
      stallMs: this.#stallMs,
      signal,
      resume: async (givenBytes) => {
        const rest = { offset: range.offset + givenBytes, length: lengthBytes - givenBytes };
        return (await this.#store.open(name, rest, again)).readableStreamBody as Readable;
      },
      release: () => controller.abort(),
      explain: (error) => toDriverError(error, path),
    });
  }
}
