import { hash } from 'node:crypto';
import { writeSync } from 'node:fs';
import type { DigestAlgorithm } from '../core/index.ts';

/** The code of the error for a file that ends before the bytes that were to be hashed. */
export const FILE_TOO_SHORT = 'FILE_TOO_SHORT';

/** Bytes in shared memory that the thread has been given. */
export interface SlabPart {
  readonly slab: number;
  readonly offset: number;
  readonly length: number;
}

/** Bytes in a file. */
export interface FilePart {
  /** Of the process: threads share open files. */
  readonly fd: number;
  readonly position: number;
  readonly length: number;
}

/** What a piece thread is asked to do, in order. All but `slab` and `forget` are answered, with the same id. */
export type PieceJob =
  /** Shared memory that later jobs name. */
  | { readonly kind: 'slab'; readonly slab: number; readonly memory: SharedArrayBuffer }
  /** Checks a piece in memory and writes it; answered with whether it matches. */
  | {
      readonly kind: 'store';
      readonly id: number;
      readonly piece: SlabPart;
      readonly sha256: string;
      readonly to: FilePart;
    }
  /** Checks a piece on disk; answered with whether it is whole and matches. */
  | { readonly kind: 'match'; readonly id: number; readonly piece: FilePart; readonly sha256: string }
  /** Takes the next bytes of a blob into its running digest; `from` is how many it should have by then. */
  | {
      readonly kind: 'hash';
      readonly id: number;
      readonly blob: number;
      readonly algorithm: DigestAlgorithm;
      readonly from: number;
      readonly parts: readonly (SlabPart | FilePart)[];
    }
  /** Answered with the running digest; `from` is how many bytes it should be of. */
  | {
      readonly kind: 'digest';
      readonly id: number;
      readonly blob: number;
      readonly algorithm: DigestAlgorithm;
      readonly from: number;
    }
  /** The running digest is not wanted any more. */
  | { readonly kind: 'forget'; readonly blob: number };

/** A job that is answered, before it has its id. */
export type AnsweredJob =
  Exclude<PieceJob, { kind: 'slab' | 'forget' }> extends infer J
    ? J extends { readonly id: number }
      ? Omit<J, 'id'>
      : never
    : never;

/** What a thread answers: a value, or an error as plain facts, because errors lose their code on the way. */
export interface PieceAnswer {
  readonly id: number;
  readonly value?: boolean | string;
  readonly error?: { readonly message: string; readonly code: string | undefined };
}

/** The SHA-256 of bytes that are in memory, in hex. */
export function sha256Of(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

/**
 * Bytes of one write. Longer writes make the kernel look for longer stretches of free memory, which a virtual machine may
 * have returned to its host: 512 KiB in one write took 1.2 ms as a rule, in sixteen writes 0.2 ms.
 */
const WRITE_BYTES = 32 * 1024;

/** Writes all bytes into the page cache, at once. Stops the thread when the disk is far behind. */
export function writeNow(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, Math.min(bytes.length - done, WRITE_BYTES), position + done);
  }
}
