import { Readable } from 'node:stream';
import { type LendingStream, type LentBytes, type LentRuns, lentRunsKey } from '../core/index.ts';

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
  return new PulledStream(iterate, (bytes) => bytes, signal);
}

/** The same for runs of lent bytes: who reads the stream gets copies, who takes the runs does not. */
export function lendingStream(iterate: (signal: AbortSignal) => LentRuns, signal?: AbortSignal): LendingStream {
  return new PulledLendingStream(iterate, signal);
}

class PulledStream<Step> extends Readable {
  protected readonly steps: AsyncIterator<Step>;
  readonly #bytesOf: (step: Step) => Uint8Array;
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #onOuterAbort: () => void;

  constructor(
    iterate: (signal: AbortSignal) => AsyncIterable<Step>,
    bytesOf: (step: Step) => Uint8Array,
    outer: AbortSignal | undefined,
  ) {
    super({ highWaterMark: HIGH_WATER_MARK_BYTES });
    this.steps = iterate(this.#controller.signal)[Symbol.asyncIterator]();
    this.#bytesOf = bytesOf;
    this.#outer = outer;
    this.#onOuterAbort = () => this.destroy(asError(outer?.reason));
    if (outer?.aborted === true) this.#onOuterAbort();
    else outer?.addEventListener('abort', this.#onOuterAbort, { once: true });
  }

  override _read(): void {
    this.steps.next().then(
      (step) => {
        // Also when nobody reads any more: what is lent has to go back.
        const bytes = step.done === true ? null : this.#bytesOf(step.value);
        if (!this.destroyed) this.push(bytes);
      },
      (error: unknown) => this.destroy(asError(error)),
    );
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#outer?.removeEventListener('abort', this.#onOuterAbort);
    this.#controller.abort(error ?? new Error('the reader has ended the stream'));
    // Runs the iterator's finally blocks; a step that is under way rejects by the signal, and nobody waits for it.
    this.steps.return?.().catch(() => {});
    callback(error);
  }
}

class PulledLendingStream extends PulledStream<readonly LentBytes[]> implements LendingStream {
  constructor(iterate: (signal: AbortSignal) => LentRuns, outer: AbortSignal | undefined) {
    super(iterate, copyOf, outer);
  }

  async *[lentRunsKey](): LentRuns {
    try {
      for (;;) {
        const step = await this.steps.next();
        if (step.done === true) return;
        yield step.value;
      }
    } finally {
      this.destroy();
    }
  }
}

function copyOf(run: readonly LentBytes[]): Buffer {
  const copy = Buffer.allocUnsafe(run.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let at = 0;
  for (const lent of run) {
    at += lent.bytes.copy(copy, at);
    lent.release();
  }
  return copy;
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}
