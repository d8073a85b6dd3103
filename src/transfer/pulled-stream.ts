import { Readable } from 'node:stream';

/** Chunks are large (pieces); one in hand and one on its way keeps a socket busy. */
const HIGH_WATER_MARK_BYTES = 256 * 1024;

/**
 * A stream that pulls its chunks from an iterator, one at a time, as fast as they are read.
 *
 * Unlike `Readable.from` it hands the iterator a signal that aborts when the stream is destroyed, so that a wait in the
 * middle of a step ends at once. An error of the iterator destroys the stream; so does an abort of `signal`.
 */
export function pulledStream(
  iterate: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Readable {
  return new PulledStream(iterate, signal);
}

class PulledStream extends Readable {
  readonly #controller = new AbortController();
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #outer: AbortSignal | undefined;
  readonly #onOuterAbort: () => void;

  constructor(iterate: (signal: AbortSignal) => AsyncIterable<Uint8Array>, outer: AbortSignal | undefined) {
    super({ highWaterMark: HIGH_WATER_MARK_BYTES });
    this.#iterator = iterate(this.#controller.signal)[Symbol.asyncIterator]();
    this.#outer = outer;
    this.#onOuterAbort = () => this.destroy(asError(outer?.reason));
    if (outer?.aborted === true) this.#onOuterAbort();
    else outer?.addEventListener('abort', this.#onOuterAbort, { once: true });
  }

  override _read(): void {
    this.#iterator.next().then(
      (step) => {
        if (!this.destroyed) this.push(step.done === true ? null : step.value);
      },
      (error: unknown) => this.destroy(asError(error)),
    );
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#outer?.removeEventListener('abort', this.#onOuterAbort);
    this.#controller.abort(error ?? new Error('the reader has ended the stream'));
    // Runs the iterator's finally blocks; a step that is under way rejects by the signal, and nobody waits for it.
    this.#iterator.return?.().catch(() => {});
    callback(error);
  }
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}
