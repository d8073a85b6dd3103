import { readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { type DigestAlgorithm, DigestHasher } from '../core/index.ts';
import { fileErrorCode } from './files.ts';
import {
  FILE_TOO_SHORT,
  type FilePart,
  type PieceAnswer,
  type PieceJob,
  type SlabPart,
  sha256Of,
  writeNow,
} from './piece-jobs.ts';

/*
 * The thread that checks, writes and hashes pieces: see `piece-threads.ts`, which starts it. It holds no file and no memory
 * of its own but one buffer to read into; what it is given belongs to it until it has answered.
 */

/** Answers go out after this many bytes at the latest, so that the first of many pieces need not wait for the last. */
const ANSWER_BYTES = 1024 * 1024;

const port = parentPort;
const slabs = new Map<number, Buffer>();
const digests = new Map<number, { readonly hasher: DigestHasher; bytes: number }>();
let scratch = Buffer.alloc(0);

port?.on('message', (jobs: readonly PieceJob[]) => {
  let answers: PieceAnswer[] = [];
  let bytes = 0;
  for (const job of jobs) {
    const answer = perform(job);
    if (answer === undefined) continue;
    answers.push(answer);
    bytes += bytesOf(job);
    if (bytes < ANSWER_BYTES) continue;
    port.postMessage(answers);
    answers = [];
    bytes = 0;
  }
  if (answers.length > 0) port.postMessage(answers);
});

function perform(job: PieceJob): PieceAnswer | undefined {
  if (job.kind === 'slab') {
    slabs.set(job.slab, Buffer.from(job.memory));
    return undefined;
  }
  if (job.kind === 'forget') {
    digests.delete(job.blob);
    return undefined;
  }
  try {
    return { id: job.id, value: answerTo(job) };
  } catch (error) {
    // Passed on: the store knows what to do with an error of the disk.
    const message = error instanceof Error ? error.message : String(error);
    return { id: job.id, error: { message, code: fileErrorCode(error) } };
  }
}

function answerTo(job: Exclude<PieceJob, { kind: 'slab' | 'forget' }>): boolean | string {
  if (job.kind === 'store') return store(bytesOfPart(job.piece), job.sha256, job.to);
  if (job.kind === 'match') {
    const bytes = bytesOfPart(job.piece);
    return bytes.length === job.piece.length && sha256Of(bytes) === job.sha256;
  }
  const running = digestOf(job);
  if (job.kind === 'digest') return running.hasher.digest();
  for (const part of job.parts) takePart(running, part);
  return true;
}

function store(bytes: Buffer, sha256: string, to: FilePart): boolean {
  if (sha256Of(bytes) !== sha256) return false;
  writeNow(to.fd, bytes, to.position);
  return true;
}

/** The running digest of a blob; one from an earlier thread is lost, and has to be begun again. */
function digestOf(job: { readonly blob: number; readonly algorithm: DigestAlgorithm; readonly from: number }) {
  if (job.from === 0) digests.set(job.blob, { hasher: new DigestHasher(job.algorithm), bytes: 0 });
  const running = digests.get(job.blob);
  if (running?.bytes === job.from) return running;
  throw new Error(`the running digest has ${running?.bytes ?? 'no'} bytes, expected ${job.from}`);
}

function takePart(running: { readonly hasher: DigestHasher; bytes: number }, part: SlabPart | FilePart): void {
  const bytes = bytesOfPart(part);
  if (bytes.length < part.length) {
    const message = `the file ends ${part.length - bytes.length} bytes too early`;
    throw Object.assign(new Error(message), { code: FILE_TOO_SHORT });
  }
  running.hasher.update(bytes);
  running.bytes += bytes.length;
}

/** From a file that is too short, fewer bytes than asked for. */
function bytesOfPart(part: SlabPart | FilePart): Buffer {
  if (!('slab' in part)) return readNow(part);
  const slab = slabs.get(part.slab);
  if (slab === undefined) throw new Error(`this thread was not given slab ${part.slab}`);
  return slab.subarray(part.offset, part.offset + part.length);
}

function readNow({ fd, position, length }: FilePart): Buffer {
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    const count = readSync(fd, scratch, done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return scratch.subarray(0, done);
}

function bytesOf(job: PieceJob): number {
  if (job.kind === 'store' || job.kind === 'match') return job.piece.length;
  return job.kind === 'hash' ? job.parts.reduce((sum, part) => sum + part.length, 0) : 0;
}
