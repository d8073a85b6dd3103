import { finished, type Readable } from 'node:stream';
import { countShortLivedBytes } from '../core/index.ts';
import { stalledError } from './read-body.ts';

/** A socket gives some 64 KiB at a time; a write of that costs more on its way to a thread and back than in it. */
const PART_BYTES = 256 * 1024;
/** Memory for parts that is kept for the next ones: new memory costs more than the copy into it. */
const MAX_SPARE_PARTS = 16;

const spareParts: Buffer[] = [];

/** Where the bytes of a body go. */
export interface BodySink {
  /** Sees each chunk as it comes. What it throws ends the intake. */
  onChunk(chunk: Buffer): void;
  /** Takes bytes, in order, one call at a time; they are overwritten once it has resolved. What it throws ends the intake. */
  write(bytes: Buffer): Promise<void>;
}

/**
 * Writes a body as it comes: at once what came in one go, in parts of 256 KiB at most while the last one is being written.
 * Two of them are in memory, then the client is held back; only its own silence counts as such.
 *
 * Whatever ends it, what came is written, unless a write has failed; it is over when nothing is being written. The body is
 * not destroyed when the sink fails: the connection has to live on to carry the answer.
 * @throws BodyIncompleteError when no byte came for `idleTimeoutMs`; what the socket reports when the client hangs up; what
 *   the sink throws, as soon as it does
 */
export function writeBody(body: Readable, idleTimeoutMs: number, sink: BodySink): Promise<void> {
  return new BodyIntake(body, idleTimeoutMs, sink).done;
}

class BodyIntake {
  readonly done: Promise<void>;
  readonly #body: Readable;
  readonly #sink: BodySink;
  readonly #idleTimer: NodeJS.Timeout;
  readonly #unwatch: () => void;
  readonly #result = Promise.withResolvers<void>();
  /** Bytes that wait for their write; `undefined` while there are none. */
  #part: Buffer | undefined;
  #partBytes = 0;
  /** What did not fit into the part any more; the body is paused then. */
  #rest: Buffer | undefined;
  #isWriting = false;
  #flush: NodeJS.Immediate | undefined;
  /** Set when nothing more comes of the body. */
  #over: { readonly error: unknown } | undefined;
  #hasWriteFailed = false;

  constructor(body: Readable, idleTimeoutMs: number, sink: BodySink) {
    this.#body = body;
    this.#sink = sink;
    this.done = this.#result.promise;
    this.#idleTimer = setTimeout(() => this.#onIdle(idleTimeoutMs), idleTimeoutMs);
    this.#unwatch = finished(body, { writable: false }, (error) => this.#end(error ?? undefined));
    body.on('data', this.#onData);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#idleTimer.refresh();
    try {
      this.#sink.onChunk(chunk);
    } catch (error) {
      this.#end(error);
      return;
    }
    this.#gather(chunk);
    countShortLivedBytes(chunk.length);
    if (this.#part !== undefined && !this.#isWriting) this.#writeSoon();
  };

  /** What comes in one go is written together. */
  #writeSoon(): void {
    this.#flush ??= setImmediate(() => this.#writePart());
  }

  /** A client that is held back is not silent. */
  #onIdle(idleTimeoutMs: number): void {
    if (this.#body.isPaused()) this.#idleTimer.refresh();
    else this.#body.destroy(stalledError(idleTimeoutMs));
  }

  #gather(chunk: Buffer): void {
    this.#part ??= spareParts.pop() ?? Buffer.allocUnsafeSlow(PART_BYTES);
    const count = Math.min(PART_BYTES - this.#partBytes, chunk.length);
    chunk.copy(this.#part, this.#partBytes, 0, count);
    this.#partBytes += count;
    const rest = chunk.subarray(count);
    if (this.#partBytes === PART_BYTES && !this.#isWriting) this.#writePart();
    if (rest.length === 0) return;
    if (this.#part === undefined) {
      this.#gather(rest);
    } else {
      this.#rest = rest;
      this.#body.pause();
    }
  }

  #writePart(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    const part = this.#part;
    if (part === undefined) return;
    const bytes = part.subarray(0, this.#partBytes);
    this.#part = undefined;
    this.#partBytes = 0;
    this.#isWriting = true;
    this.#sink.write(bytes).then(
      () => this.#onWritten(part),
      (error: unknown) => this.#onWriteFailed(error),
    );
  }

  #onWritten(part: Buffer): void {
    this.#isWriting = false;
    if (spareParts.length < MAX_SPARE_PARTS) spareParts.push(part);
    const rest = this.#rest;
    if (rest !== undefined) {
      // The part is full then: it goes before more is taken.
      this.#rest = undefined;
      this.#writePart();
      this.#gather(rest);
      if (this.#over === undefined) this.#body.resume();
    } else if (this.#part !== undefined) {
      this.#writeSoon();
    }
    this.#settle();
  }

  #onWriteFailed(error: unknown): void {
    this.#isWriting = false;
    this.#hasWriteFailed = true;
    this.#part = undefined;
    this.#rest = undefined;
    this.#end(error);
    this.#settle();
  }

  /** Nothing more is taken of the body. The first reason counts. */
  #end(error: unknown): void {
    if (this.#over !== undefined) return;
    this.#over = { error };
    clearTimeout(this.#idleTimer);
    this.#unwatch();
    this.#body.off('data', this.#onData);
    if (error !== undefined) this.#body.pause();
    if (!this.#isWriting && !this.#hasWriteFailed) this.#writePart();
    this.#settle();
  }

  #settle(): void {
    if (this.#over === undefined || this.#isWriting || this.#part !== undefined) return;
    const { error } = this.#over;
    if (error === undefined) this.#result.resolve();
    else this.#result.reject(error);
  }
}
