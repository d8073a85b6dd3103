import type { Readable } from 'node:stream';
import { BodyIncompleteError } from './errors.ts';

/**
 * The chunks of a body; the sender is held back while the reader is busy with one.
 *
 * The body is not destroyed when the reader leaves it early: the connection has to live on to carry the answer.
 * @throws BodyIncompleteError when no byte came for `idleTimeoutMs`; what the socket reports when the client hangs up
 */
export async function* readBody(body: Readable, idleTimeoutMs: number): AsyncGenerator<Buffer, void> {
  const stalled = stalledError(idleTimeoutMs);
  let timer = setTimeout(() => body.destroy(stalled), idleTimeoutMs);
  try {
    for await (const chunk of body.iterator({ destroyOnReturn: false })) {
      // The storage may take its time; only the client's silence counts.
      clearTimeout(timer);
      yield chunk as Buffer;
      timer = setTimeout(() => body.destroy(stalled), idleTimeoutMs);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** What ends a body of which no byte has come for too long. */
export function stalledError(idleTimeoutMs: number): BodyIncompleteError {
  return new BodyIncompleteError(`no byte of the body came for ${idleTimeoutMs} ms; the upload keeps what came`);
}
