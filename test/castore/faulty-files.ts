import { type FileOps, nodeFileOps, type OpenFile } from '../../src/castore/files.ts';

/** The name of an operation and the path that it is about. */
export type Fault = (operation: string, path: string) => Promise<void> | void;

/**
 * File operations that ask first: what `before` throws is thrown in the place of the operation. Files have a number, which
 * lets threads write them past `before`, only when somebody wants to hear each time before it is used.
 */
export function filesWith(before: Fault, ops: FileOps = nodeFileOps, beforeFd?: (path: string) => void): FileOps {
  const asked =
    <A extends [string, ...unknown[]], R>(name: string, call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      await before(name, args[0]);
      return call(...args);
    };
  return {
    open: async (path, mode) => {
      await before(`open to ${mode}`, path);
      const file = await ops.open(path, mode);
      const asked = (fd: number) => {
        beforeFd?.(path);
        return fd;
      };
      const { fd } = file;
      return withFd(beforeFd === undefined || fd === undefined ? undefined : () => asked(fd), {
        read: (buffer, position) => file.read(buffer, position),
        write: async (bytes, position) => {
          await before('write', path);
          return file.write(bytes, position);
        },
        truncate: async (sizeBytes) => {
          await before('truncate', path);
          return file.truncate(sizeBytes);
        },
        sync: async () => {
          await before('sync', path);
          return file.sync();
        },
        sizeBytes: () => file.sizeBytes(),
        close: () => file.close(),
      });
    },
    mkdir: asked('mkdir', (path) => ops.mkdir(path)),
    readdir: (path) => ops.readdir(path),
    stat: (path) => ops.stat(path),
    rename: asked('rename', (from, to) => ops.rename(from, to)),
    unlink: asked('unlink', (path) => ops.unlink(path)),
    rmdir: asked('rmdir', (path) => ops.rmdir(path)),
    setTimes: asked('setTimes', (path, times) => ops.setTimes(path, times)),
    syncDirectory: asked('syncDirectory', (path) => ops.syncDirectory(path)),
  };
}

function withFd(getFd: (() => number) | undefined, file: OpenFile): OpenFile {
  return getFd === undefined ? file : Object.defineProperty(file, 'fd', { get: getFd });
}

/** An error as the file system throws it. */
export function fileError(code: string): Error {
  return Object.assign(new Error(`${code}: made up for this test`), { code });
}
