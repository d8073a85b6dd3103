import { UnavailableError } from '../core/index.ts';
import type { FileOps } from './files.ts';

/**
 * File operations that end with their store: once it is closed another process may have the folder, and whatever still runs
 * here must not touch it.
 */
export function closableOps(ops: FileOps, directory: string): { readonly ops: FileOps; close(): void } {
  let closed = false;
  const guarded =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (closed) throw new UnavailableError(`the store ${directory} is closed`);
      return call(...args);
    };
  return {
    ops: {
      open: guarded((path, mode) => ops.open(path, mode)),
      mkdir: guarded((path) => ops.mkdir(path)),
      readdir: guarded((path) => ops.readdir(path)),
      stat: guarded((path) => ops.stat(path)),
      rename: guarded((from, to) => ops.rename(from, to)),
      unlink: guarded((path) => ops.unlink(path)),
      rmdir: guarded((path) => ops.rmdir(path)),
      setTimes: guarded((path, times) => ops.setTimes(path, times)),
      syncDirectory: guarded((path) => ops.syncDirectory(path)),
    },
    close: () => {
      closed = true;
    },
  };
}
