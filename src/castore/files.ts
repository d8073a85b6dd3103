import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rmdir, stat, unlink, utimes } from 'node:fs/promises';

/**
 * Every file operation of the store, in one small interface, so that a test can count them, stop the process before any of
 * them, let the disk be full, or stand for a disk that forgets what was not synced. {@link nodeFileOps} is the real one.
 *
 * All methods reject with the errors of `node:fs` (`code` is ENOENT, EEXIST, ENOSPC, …).
 */
export interface FileOps {
  open(path: string, mode: OpenMode): Promise<OpenFile>;
  /** One folder, 0700; its parent has to be there. */
  mkdir(path: string): Promise<void>;
  readdir(path: string): Promise<string[]>;
  stat(path: string): Promise<FileFacts>;
  /** Replaces `to` when it is there. */
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  rmdir(path: string): Promise<void>;
  setTimes(path: string, times: FileTimes): Promise<void>;
  /** Makes the names in a folder survive a power failure. */
  syncDirectory(path: string): Promise<void>;
}

/** `read`: must be there; `change`: read and write, made when missing; `create`: read and write, emptied when there. */
export type OpenMode = 'read' | 'change' | 'create';

/** One open file. Whoever opened it closes it. */
export interface OpenFile {
  /**
   * Its number in this process, for threads that read and write it on their own, and for writes that do not leave the event
   * loop. Without one everything goes through the methods below. Not to be used once the file is being closed.
   */
  readonly fd?: number;
  /** Fills as much of `buffer` as there is from `position` on; returns the bytes read, 0 at the end. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** Writes some or all of the bytes at `position`; returns how many. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  truncate(sizeBytes: number): Promise<void>;
  /** Makes bytes and length survive a power failure (fdatasync). */
  sync(): Promise<void>;
  sizeBytes(): Promise<number>;
  /** Waits for reads and writes that are under way. */
  close(): Promise<void>;
}

/** Milliseconds since 1970. */
export interface FileTimes {
  readonly accessedAtMs: number;
  readonly modifiedAtMs: number;
}

/** What the file system knows of a file. */
export interface FileFacts extends FileTimes {
  readonly sizeBytes: number;
}

/** Only the user that runs the program may read the store. */
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

const flagsOf: Readonly<Record<OpenMode, number>> = {
  read: constants.O_RDONLY,
  change: constants.O_RDWR | constants.O_CREAT,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
};

/** The file system of the machine. */
export const nodeFileOps: FileOps = {
  async open(path, mode) {
    const handle = await open(path, flagsOf[mode], FILE_MODE);
    return {
      fd: handle.fd,
      read: async (buffer, position) => (await handle.read(buffer, 0, buffer.length, position)).bytesRead,
      write: async (bytes, position) => (await handle.write(bytes, 0, bytes.length, position)).bytesWritten,
      truncate: (sizeBytes) => handle.truncate(sizeBytes),
      sync: () => handle.datasync(),
      sizeBytes: async () => (await handle.stat()).size,
      close: () => handle.close(),
    };
  },
  async mkdir(path) {
    await mkdir(path, { mode: DIRECTORY_MODE });
  },
  readdir: (path) => readdir(path),
  async stat(path) {
    const facts = await stat(path);
    return { sizeBytes: facts.size, accessedAtMs: facts.atimeMs, modifiedAtMs: facts.mtimeMs };
  },
  rename: (from, to) => rename(from, to),
  unlink: (path) => unlink(path),
  rmdir: (path) => rmdir(path),
  setTimes: (path, times) => utimes(path, times.accessedAtMs / 1000, times.modifiedAtMs / 1000),
  async syncDirectory(path) {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};

/** The `code` of a file system error. */
export function fileErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Whether an error says that a file or folder is not there. */
export function isMissing(error: unknown): boolean {
  const code = fileErrorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Whether an error says that the disk, or the share of this user, is full. */
export function isDiskFull(error: unknown): boolean {
  const code = fileErrorCode(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Writes all bytes at `position`; the same call may be made again after it failed. */
export async function writeAll(file: OpenFile, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) done += await file.write(bytes.subarray(done), position + done);
}

/** Reads until `buffer` is full or the file ends; returns the bytes read. */
export async function readFully(file: OpenFile, buffer: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < buffer.length) {
    const count = await file.read(buffer.subarray(done), position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}
