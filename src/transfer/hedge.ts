import { handledElsewhere } from './abort.ts';

/** Two ways to the same answer. */
export interface Hedge<Value> {
  readonly first: (signal: AbortSignal) => Promise<Value>;
  readonly second: (signal: AbortSignal) => Promise<Value>;
  /** The second way is tried as well when the first has not answered after this. */
  readonly delayMs: number;
  /** Whether an error of the first way is an answer, so that the second is not tried. */
  readonly isDefinite: (error: unknown) => boolean;
}

/**
 * Tries the first way; when it fails, or takes long, the second too. The first answer counts, and the other way is
 * aborted. @throws what the second way threw (the first one's error is its business to log), or a definite error
 */
export async function hedged<Value>(hedge: Hedge<Value>, signal: AbortSignal): Promise<Value> {
  const controller = new AbortController();
  const both = AbortSignal.any([signal, controller.signal]);
  let timer: NodeJS.Timeout | undefined;
  const first = hedge.first(both);
  handledElsewhere(first);
  // Resolves when it is the second way's turn; rejects when the first way has given a definite error.
  const turn = new Promise<void>((resolve, reject) => {
    timer = setTimeout(resolve, hedge.delayMs);
    first.catch((error: unknown) => (hedge.isDefinite(error) || signal.aborted ? reject(error) : resolve()));
  });
  const second = turn.then(() => hedge.second(both));
  handledElsewhere(second);
  try {
    return await firstAnswer(first, second, hedge.isDefinite);
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}

async function firstAnswer<Value>(
  first: Promise<Value>,
  second: Promise<Value>,
  isDefinite: (error: unknown) => boolean,
): Promise<Value> {
  return new Promise<Value>((resolve, reject) => {
    first.then(resolve, (error: unknown) => {
      if (isDefinite(error)) reject(error);
    });
    // A failure of the second way counts once the first has failed too: it may be slow and still right.
    second.then(resolve, (error: unknown) => {
      if (isDefinite(error)) reject(error);
      else first.then(resolve, () => reject(error));
    });
  });
}
