import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { PathNotFoundError, StorageInternalError, StorageUnavailableError } from '../errors.ts';
import { ResumedStream } from '../object-store/index.ts';
import type { ReadRange } from '../storage-driver.ts';
import { crc32c, formatCrc32c } from './crc32c.ts';
import { isMissing, statusOf, toDriverError } from './errors.ts';
import type { GcsNames } from './names.ts';
import type { ObjectStore } from './object-store.ts';
import { driverName } from './parameters.ts';
import { isUploadSession, type Places } from './places.ts';

/** No object is longer; above it, an offset is past the end of any, and a range could not be computed exactly. */
const maxObjectBytes = 2 ** 48;

/** How long a body may stand still while somebody waits for it, before it is asked for again. */
const stallMs = 60_000;

/** Opens objects for reading. A reader stays with the generation that it has opened. */
export class Reads {
  readonly #store: ObjectStore;
  readonly #names: GcsNames;
  readonly #places: Places;

  constructor(parts: { readonly store: ObjectStore; readonly names: GcsNames; readonly places: Places }) {
    this.#store = parts.store;
    this.#names = parts.names;
    this.#places = parts.places;
  }

  /** The whole of an object, compared with the CRC32C that the service has of it. */
  async getContent(path: string, signal: AbortSignal | undefined): Promise<Buffer> {
    const { stream, hash } = await this.#open(path, { offset: 0 }, signal);
    const content = await buffer(stream);
    const [, expected] = /crc32c=([A-Za-z0-9+/=]+)/.exec(hash) ?? [];
    if (expected !== undefined && formatCrc32c(crc32c(content)) !== expected) {
      throw new StorageUnavailableError(driverName, path, 'other bytes came than the service has, by their CRC32C');
    }
    return content;
  }

  /** @throws PathNotFoundError, NotAFileError */
  async open(path: string, range: ReadRange, signal: AbortSignal | undefined): Promise<Readable> {
    return (await this.#open(path, range, signal)).stream;
  }

  async #open(path: string, range: ReadRange, signal: AbortSignal | undefined): Promise<OpenObject> {
    const { offset } = range;
    const length = range.length === undefined ? undefined : Math.min(range.length, maxObjectBytes);
    if (length === 0 || offset > maxObjectBytes) {
      await this.#places.get(path, signal);
      return nothing();
    }
    // Ends the download with the stream, however that ends.
    const controller = new AbortController();
    const ending = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
    const name = this.#names.ofObject(path);
    try {
      const { headers, body } = await this.#store.open(name, { offset, length }, ending);
      body.on('error', () => undefined);
      if (isUploadSession({ contentType: String(headers['content-type']) })) {
        body.destroy();
        throw new PathNotFoundError(driverName, path);
      }
      const lengthBytes = Number(headers['content-length']);
      if (Number.isNaN(lengthBytes)) {
        body.destroy();
        throw new StorageInternalError(driverName, path, 'the service does not say how many bytes it sends');
      }
      const generation = String(headers['x-goog-generation']);
      const resume = async (givenBytes: number) => {
        const rest = { offset: offset + givenBytes, length: lengthBytes - givenBytes, generation };
        return (await this.#store.open(name, rest, ending)).body;
      };
      const release = () => controller.abort();
      return {
        stream: new ResumedStream({
          source: body,
          driverName,
          path,
          lengthBytes,
          stallMs,
          signal,
          resume,
          release,
          explain: (error) => toDriverError(error, path),
        }),
        hash: [headers['x-goog-hash'] ?? ''].flat().join(),
      };
    } catch (error) {
      if (statusOf(error) === 416) return this.#nothingOf(path, signal);
      if (isMissing(error)) return this.#places.throwMissing(path, signal);
      throw error;
    }
  }

  /** Of a range past the end the service does not say what kind of object it is of. */
  async #nothingOf(path: string, signal: AbortSignal | undefined): Promise<OpenObject> {
    await this.#places.get(path, signal);
    return nothing();
  }
}

interface OpenObject {
  readonly stream: Readable;
  /** The checksums of the whole object, as the service writes them. */
  readonly hash: string;
}

function nothing(): OpenObject {
  return { stream: Readable.from([]), hash: '' };
}
