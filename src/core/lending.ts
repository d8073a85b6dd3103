import type { Readable } from 'node:stream';

/**
 * Bytes in memory that belongs to somebody else, without a copy. They stay as they are until `release`, which is called exactly
 * once, when nobody reads them any more: the memory is used for other bytes then. Nobody may change them.
 */
export interface LentBytes {
  readonly bytes: Buffer;
  /** @throws Error when it was called before, which is a defect of the caller */
  release(): void;
}

/** Runs of lent bytes, in order. Whoever takes a run releases each of its parts, whatever happens. */
export type LentRuns = AsyncIterable<readonly LentBytes[]>;

const lentRuns = Symbol('takes its bytes without a copy');

/**
 * A stream whose bytes may be had without a copy: {@link takeLentRuns} instead of reading it. Ending the iteration early, or
 * destroying the stream, ends its source.
 */
export interface LendingStream extends Readable {
  [lentRuns](): LentRuns;
}

/** The key under which a {@link LendingStream} has its runs. */
export const lentRunsKey: typeof lentRuns = lentRuns;

/** The bytes of a stream without a copy, if it can do that; from then on nobody may read it. */
export function takeLentRuns(stream: Readable): LentRuns | undefined {
  return lentRuns in stream ? (stream as LendingStream)[lentRuns]() : undefined;
}
