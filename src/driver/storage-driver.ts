import type { Readable } from 'node:stream';
import type { Repository } from '../core/index.ts';

/**
 * The storage driver contract: how a registry keeps its files.
 *
 * Paths are absolute (`/docker/registry/v2/…`), made of components of `[A-Za-z0-9._-]`; `/` alone names the root and is
 * taken by `stat`, `list` and `walk` only. The semantics are those of distribution's driver interface with its holes
 * closed; each method says how. Any number of calls may run at once; one path has one writer at a time.
 *
 * Errors are those of `errors.ts`: every message names the driver and the path. Every driver is used through
 * {@link validated} (`base.ts`), which checks paths and offsets before the driver sees them.
 */
export interface StorageDriver extends AsyncDisposable {
  /** The registered name, such as `filesystem`. */
  readonly name: string;
  readonly capabilities: Capabilities;

  /** The whole of a small object. @throws PathNotFoundError */
  getContent(path: string, context?: CallContext): Promise<Buffer>;

  /**
   * Creates or wholly replaces an object. Atomic: a reader sees the old bytes or the new, never a mixture, also over a
   * crash; synced before it resolves. Empty content makes an empty object. Parents are implicit.
   * @throws NotADirectoryError when a parent is an object, NotAFileError when the path has objects below it
   */
  putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void>;

  /**
   * {@link putContent} that happens only when what is at the path is as expected. Of several such calls at once, in any
   * process, one at most finds the same object; how they stand to other writes at the same moment is up to the driver.
   * @throws PreconditionFailedError when it is not, and nothing has changed; UnsupportedError without `conditionalPut`
   */
  putContentIf(path: string, content: Uint8Array, condition: PutCondition, context?: CallContext): Promise<void>;

  /**
   * Bytes from `offset` on, `length` of them at most, to the end when there is no `length`. An offset at or past the end
   * gives an empty stream. The object is opened before this resolves, so a missing one throws here and never later.
   * The caller ends or destroys the stream. @throws PathNotFoundError, InvalidOffsetError
   */
  reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable>;

  /**
   * A writer for an object of any size. `append: false` starts at nothing. `append: true` goes on with bytes that an
   * earlier writer closed without commit, in this process or an earlier one, or with a committed object of length zero.
   * @throws PathNotFoundError when there is nothing to append to; ConflictError when the object is committed and not empty,
   * or another writer of this driver appends to it now
   */
  writer(path: string, options: { readonly append: boolean }, context?: CallContext): Promise<FileWriter>;

  /** Facts about an object or directory. @throws PathNotFoundError */
  stat(path: string, context?: CallContext): Promise<FileInfo>;

  /**
   * Full paths of the direct children, in order of their bytes. Unfinished and temporary files never show.
   * The root may be empty; any other path throws when it is missing, and the error comes with the first step.
   * @throws PathNotFoundError, NotADirectoryError
   */
  list(path: string, page?: ListPage, context?: CallContext): AsyncIterable<string>;

  /** Renames an object, replacing what is there; onto itself it does nothing. The target is untouched on an error. @throws PathNotFoundError */
  move(source: string, destination: string, context?: CallContext): Promise<void>;

  /**
   * Removes an object, or everything under a directory; never a sibling that shares the prefix. Bytes that writers closed
   * there without commit go with it, also when they are all that is there. Whether a directory that has become empty stays
   * is up to the driver. @throws PathNotFoundError
   */
  delete(path: string, context?: CallContext): Promise<void>;

  /** A URL at which the client can read the object itself; `undefined` when it has to be streamed. */
  redirectURL(path: string, request: { readonly method: string }, context?: CallContext): Promise<string | undefined>;

  /** Everything below a path, depth first, siblings in order; entries that vanish meanwhile are left out. @throws PathNotFoundError */
  walk(path: string, options?: WalkOptions, context?: CallContext): AsyncIterable<FileInfo>;

  /** Ends what the driver holds open. Nothing may be called afterwards. */
  close(): Promise<void>;
}

/** What travels with every call. */
export interface CallContext {
  /** Ends the call early; it then throws the signal's reason. For a writer it counts while it is opened. */
  readonly signal?: AbortSignal;
  /**
   * The repository that a blob is read or written for; the p2p driver needs it, because a blob's path does not name one.
   * Without it, it answers only whether it holds a blob at all, and how long that is.
   */
  readonly repository?: Repository;
}

/** What has to be at a path for it to be put: nothing, or the object whose {@link FileInfo.revision} this is. */
export type PutCondition = { readonly ifAbsent: true } | { readonly ifMatch: string };

/** `offset` in bytes from the start; without `length` to the end. */
export interface ReadRange {
  readonly offset: number;
  readonly length?: number;
}

/** A page of a listing: only names behind the full path `after`, `limit` of them at most. */
export interface ListPage {
  readonly after?: string;
  readonly limit?: number;
}

/** Where a walk begins: paths up to and including `startAfter` are left out. */
export interface WalkOptions {
  readonly startAfter?: string;
}

/** What `stat` and `walk` tell. */
export interface FileInfo {
  readonly path: string;
  /** In bytes; 0 for a directory. */
  readonly size: number;
  /** Advances whenever the object is written; without meaning for a directory. */
  readonly modTime: Date;
  readonly isDirectory: boolean;
  /** Names what is in an object now: another text after every write. Set by `stat` of a driver with `conditionalPut`. */
  readonly revision?: string;
}

/**
 * Writes one object. Order of calls: any number of `write`, then `commit` or `cancel` or neither, then `close`.
 * What is written is invisible to every other call until `commit`. A call after `close`, `commit` or `cancel` other than
 * `close` throws {@link WriterClosedError}; a second `close` does nothing.
 */
export interface FileWriter extends AsyncDisposable {
  /** Bytes so far, those of earlier writers included. Exact at any time. */
  readonly size: number;
  /**
   * Names the bytes that an opened or closed writer has: equal texts mean equal bytes. A driver without it makes a writer
   * fail to close or commit when another one, in any process, has gone on with the same bytes meanwhile.
   */
  readonly revision?: string | undefined;
  /** Resolves when the bytes are taken and more may come: the caller waits, which bounds memory, and may use theirs again. */
  write(bytes: Uint8Array): Promise<void>;
  /** Makes the bytes last, so that a later process can append to them. Without a `commit` before, they stay invisible. */
  close(): Promise<void>;
  /** Throws all bytes away, those of earlier writers included. */
  cancel(): Promise<void>;
  /** Makes the object visible, whole and synced. */
  commit(): Promise<void>;
}

/** What a driver can do beyond or short of the contract. What is not declared answers {@link UnsupportedError}. */
export interface Capabilities {
  /** False for a driver that only reads. */
  readonly write: boolean;
  /** Whether it takes any path; false for a driver that understands only the registry's layout. */
  readonly anyPath: boolean;
  /** Whether a move or put into a blob's path verifies the digest by itself. */
  readonly verifiesBlobs: boolean;
  /** Whether `redirectURL` may answer with a URL. */
  readonly redirect: boolean;
  /** Whether it does `putContentIf`. */
  readonly conditionalPut: boolean;
}
