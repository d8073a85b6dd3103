import type { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { MANIFEST_MAX_BYTES } from '../core/index.ts';
import { BodyIncompleteError, ManifestTooLargeError } from './errors.ts';
import { readBody } from './read-body.ts';

/** The body of a request as it comes from the socket; `undefined` when there is none. */
export function bodyOf(request: FastifyRequest): Readable | undefined {
  const body = request.body as Readable | null | undefined;
  return body ?? undefined;
}

/** `Content-Length` as a number; `undefined` when the body comes without one. Node refuses what is none. */
export function contentLengthOf(request: FastifyRequest): number | undefined {
  const text = request.headers['content-length'];
  return text === undefined ? undefined : Number(text);
}

/** Hands each chunk of a body to `take`, waiting for it. @throws what {@link readBody} and `take` throw */
export async function consumeBody(
  body: Readable,
  idleTimeoutMs: number,
  take: (chunk: Buffer) => Promise<void>,
): Promise<void> {
  for await (const chunk of readBody(body, idleTimeoutMs)) await take(chunk);
}

/** A manifest that has not come whole by then is given up, however often another byte of it comes. */
const MANIFEST_TIMEOUT_MS = 300_000;

/** The whole body of a manifest PUT. @throws ManifestTooLargeError before more than the largest manifest is held */
export async function readManifestBody(request: FastifyRequest, idleTimeoutMs: number): Promise<Buffer> {
  const announced = contentLengthOf(request) ?? 0;
  if (announced > MANIFEST_MAX_BYTES) throw tooLarge(announced);
  const body = bodyOf(request);
  if (body === undefined) return Buffer.alloc(0);
  const chunks: Buffer[] = [];
  let size = 0;
  const late = new BodyIncompleteError(`the manifest did not come within ${MANIFEST_TIMEOUT_MS} ms`);
  const timer = setTimeout(() => body.destroy(late), MANIFEST_TIMEOUT_MS);
  try {
    await consumeBody(body, idleTimeoutMs, async (chunk) => {
      size += chunk.length;
      if (size > MANIFEST_MAX_BYTES) throw tooLarge(size);
      chunks.push(chunk);
    });
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks, size);
}

function tooLarge(size: number): ManifestTooLargeError {
  return new ManifestTooLargeError(
    `the manifest has ${size} bytes or more, at most ${MANIFEST_MAX_BYTES} are taken; move data out of it into a blob`,
    { maxBytes: MANIFEST_MAX_BYTES },
  );
}
