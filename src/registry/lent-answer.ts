import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import type { LentBytes, LentRuns } from '../core/index.ts';
import { BlobDamagedError } from './errors.ts';

/** A body whose bytes go from the memory of their owner to the socket, without a copy and without streams between. */
export interface LentBody {
  /** Destroyed when the answer ends, however it ends. */
  readonly stream: Readable;
  readonly runs: LentRuns;
  readonly lengthBytes: number;
}

/** What is written before the socket has taken the run before. */
const RUNS_UNDER_WAY = 2;

/**
 * Sends an answer with a lent body. An answer that has begun and cannot be ended well breaks off. Never rejects.
 *
 * @returns what went wrong, if anything did
 */
export async function sendLent(
  reply: FastifyReply,
  head: { readonly status: number; readonly headers: Readonly<Record<string, string | number | string[]>> },
  body: LentBody,
): Promise<unknown> {
  reply.hijack();
  const response = reply.raw;
  const leave = () => body.stream.destroy();
  response.once('close', leave);
  try {
    response.writeHead(head.status, { ...(reply.getHeaders() as Record<string, string>), ...head.headers });
    await writeRuns(response, body);
    response.end();
    return undefined;
  } catch (error) {
    response.destroy();
    return error;
  } finally {
    response.off('close', leave);
    body.stream.destroy();
  }
}

/** The run that completes the body waits until the source has ended: a client of a source with more to say sees it break off. */
async function writeRuns(response: ServerResponse, { runs, lengthBytes }: LentBody): Promise<void> {
  const underWay: Promise<void>[] = [];
  let sent = 0;
  let last: readonly LentBytes[] = [];
  try {
    for await (const run of runs) {
      sent += run.reduce((sum, { bytes }) => sum + bytes.length, 0);
      if (sent >= lengthBytes) last = [...last, ...run];
      if (sent > lengthBytes) throw damaged(`${sent} bytes or more`, lengthBytes);
      if (sent === lengthBytes) continue;
      underWay.push(writeRun(response, run));
      if (underWay.length >= RUNS_UNDER_WAY) await underWay.shift();
    }
    if (sent !== lengthBytes) throw damaged(`${sent} bytes`, lengthBytes);
  } catch (error) {
    for (const lent of last) lent.release();
    throw error;
  }
  underWay.push(writeRun(response, last));
  await Promise.all(underWay);
}

/** Writes a run in one go. Each part is given back once the socket has taken it, or is dead. Rejects when it is dead. */
function writeRun(response: ServerResponse, run: readonly LentBytes[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let left = run.length;
  if (left === 0) resolve();
  response.cork();
  for (const lent of run) {
    response.write(lent.bytes, (error) => {
      lent.release();
      if (error !== null && error !== undefined) reject(error);
      else if (--left === 0) resolve();
    });
  }
  response.uncork();
  promise.catch(() => undefined); // Whoever waits for it gets the error.
  return promise;
}

function damaged(got: string, lengthBytes: number): BlobDamagedError {
  return new BlobDamagedError(`the storage gave ${got}, expected ${lengthBytes} bytes; the answer breaks off`);
}
