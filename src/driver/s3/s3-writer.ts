import { StorageInternalError } from '../errors.ts';
import type { FileWriter } from '../storage-driver.ts';
import { driverName } from './errors.ts';
import type { KeySpace } from './keys.ts';
import type { MultipartPlace, MultipartUploads, UploadedPart } from './multipart.ts';
import type { ObjectPuts } from './object-puts.ts';
import { maxParts, PartBuffer, partBytes } from './part-buffer.ts';
import type { RequestScope } from './requests.ts';
import type { FoundUpload, UnfinishedUploads } from './unfinished-uploads.ts';

/** Parts on their way at once; with the one that is being filled, that many and one are in memory. */
const partsInFlight = 2;

/** What writers share. */
export interface WriterDeps {
  readonly keys: KeySpace;
  readonly multipart: MultipartUploads;
  readonly unfinished: UnfinishedUploads;
  readonly puts: ObjectPuts;
  readonly chunkBytes: number;
}

/** A part on its way; one that has failed keeps its bytes for another try. */
interface SentPart {
  readonly number: number;
  readonly buffer: PartBuffer;
  done: Promise<void>;
  error: unknown;
}

/**
 * Writes one object. Up to the size of a part it is one put; beyond that a multipart upload, whose parts go out while the
 * next one is filled. The calls come in order, `OrderedWriter` sees to that.
 */
export class S3FileWriter implements FileWriter {
  readonly #deps: WriterDeps;
  readonly #path: string;
  readonly #onClose: () => void;
  readonly #ending = new AbortController();
  readonly #scope: RequestScope;
  readonly #parts = new Map<number, UploadedPart>();
  readonly #sent = new Map<number, SentPart>();
  #place: MultipartPlace | undefined;
  #buffer: PartBuffer;
  #spare: PartBuffer | undefined;
  #nextNumber: number;
  #size: number;
  /** Whether a record is there that tells of all that the writer has. */
  #isKept: boolean;
  #hasRecord: boolean;
  #hasEnded = false;
  #revision: string | undefined;

  /** Goes on with `earlier`, else begins at nothing. `onClose` is called once. */
  constructor(deps: WriterDeps, path: string, options: { earlier: FoundUpload | undefined; onClose: () => void }) {
    const { earlier, onClose } = options;
    this.#deps = deps;
    this.#path = path;
    this.#onClose = onClose;
    this.#scope = { path, signal: this.#ending.signal };
    for (const part of earlier?.parts ?? []) this.#parts.set(part.number, part);
    this.#place = earlier?.place;
    if (this.#place !== undefined) deps.multipart.claim(this.#place);
    this.#buffer = new PartBuffer(earlier?.tail);
    this.#nextNumber = this.#parts.size + 1;
    this.#size = (earlier?.parts ?? []).reduce((sum, part) => sum + part.sizeBytes, this.#buffer.length);
    this.#isKept = earlier !== undefined;
    this.#hasRecord = this.#isKept;
    this.#revision = earlier?.revision;
  }

  get size(): number {
    return this.#size;
  }

  get revision(): string | undefined {
    return this.#revision;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#throwFailed();
    for (let offset = 0; offset < bytes.length; ) {
      const taken = this.#buffer.append(bytes.subarray(offset), partBytes(this.#nextNumber, this.#deps.chunkBytes));
      // A full part goes out when there is more: what fits into one part needs no multipart upload.
      if (taken === 0) await this.#sendBuffer();
      if (taken > 0) this.#changed();
      offset += taken;
      this.#size += taken;
    }
  }

  async commit(): Promise<void> {
    await this.#settle();
    this.#throwFailed();
    if (this.#place === undefined) await this.#deps.puts.put(this.#path, this.#buffer.bytes, this.#scope);
    else await this.#complete(this.#place);
    this.#hasEnded = true;
    if (this.#hasRecord) await this.#deps.unfinished.forget(this.#path, this.#scope);
  }

  async cancel(): Promise<void> {
    this.#hasEnded = true;
    this.#size = 0;
    // A part that arrives behind the abort would stay.
    this.#ending.abort(new Error('the writer is cancelled'));
    await this.#settle();
    const scope = { path: this.#path };
    if (this.#place !== undefined) await this.#deps.multipart.abort(this.#place, scope);
    await this.#deps.unfinished.remove(this.#path, scope);
  }

  async close(): Promise<void> {
    try {
      if (!this.#hasEnded && !this.#isKept) await this.#keep();
    } finally {
      if (this.#place !== undefined) this.#deps.multipart.release(this.#place);
      this.#onClose();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #changed(): void {
    this.#isKept = false;
    this.#revision = undefined;
  }

  async #sendBuffer(): Promise<void> {
    if (this.#nextNumber > maxParts) {
      const reason = `longer than ${maxParts} parts that begin with "chunksize" of ${this.#deps.chunkBytes} bytes; raise it`;
      throw new StorageInternalError(driverName, this.#path, reason);
    }
    this.#place ??= await this.#deps.puts.beginMultipart(this.#path, this.#scope);
    while (this.#sent.size >= partsInFlight) {
      await Promise.race([...this.#sent.values()].map(({ done }) => done));
      this.#throwFailed();
    }
    const part: SentPart = {
      number: this.#nextNumber,
      buffer: this.#buffer,
      done: Promise.resolve(),
      error: undefined,
    };
    this.#nextNumber += 1;
    // A full part behind another: one that grows step by step leaves as many bytes again for the collector.
    this.#buffer = this.#spare ?? new PartBuffer(undefined, partBytes(this.#nextNumber, this.#deps.chunkBytes));
    this.#spare = undefined;
    this.#sent.set(part.number, part);
    this.#send(part, this.#place);
  }

  #send(part: SentPart, place: MultipartPlace): void {
    part.error = undefined;
    part.done = this.#deps.multipart.putPart(place, part.number, part.buffer.bytes, this.#scope).then(
      (uploaded) => {
        this.#parts.set(part.number, uploaded);
        this.#sent.delete(part.number);
        part.buffer.clear();
        this.#spare = part.buffer;
      },
      (error: unknown) => {
        part.error = error;
      },
    );
  }

  async #settle(): Promise<void> {
    await Promise.all([...this.#sent.values()].map(({ done }) => done));
  }

  #throwFailed(): void {
    for (const { error } of this.#sent.values()) if (error !== undefined) throw error;
  }

  /** Nothing of the writer's own changes before the object is there: after an error, `close` keeps it all. */
  async #complete(place: MultipartPlace): Promise<void> {
    await this.#deps.puts.requireFree(this.#path, this.#scope);
    const parts = this.#partsInOrder();
    if (this.#buffer.length > 0) {
      parts.push(await this.#deps.multipart.putPart(place, this.#nextNumber, this.#buffer.bytes, this.#scope));
    }
    await this.#deps.puts.completeMultipart(this.#path, { place, parts }, this.#scope);
  }

  async #keep(): Promise<void> {
    await this.#settle();
    // After an error this is the last try; without the bytes of a part those behind it are nothing.
    for (const part of [...this.#sent.values()]) {
      if (this.#place !== undefined) this.#send(part, this.#place);
      await part.done;
    }
    this.#throwFailed();
    const upload = { place: this.#place, parts: this.#partsInOrder(), tail: this.#buffer.bytes };
    this.#revision = await this.#deps.unfinished.keep(this.#path, upload, this.#scope);
    this.#isKept = true;
  }

  #partsInOrder(): UploadedPart[] {
    return [...this.#parts.values()].sort((left, right) => left.number - right.number);
  }
}
