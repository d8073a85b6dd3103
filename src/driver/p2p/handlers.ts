import type { Readable } from 'node:stream';
import type { CaStore } from '../../castore/index.ts';
import type { Clock } from '../../core/index.ts';
import type { RegistryPath } from '../../pathparser/index.ts';
import type { ImageTransferer } from '../../transfer/index.ts';
import type { CallContext, FileInfo, FileWriter, ListPage, ReadRange } from '../index.ts';

/** The registered name. */
export const DRIVER_NAME = 'p2p';

/** What the driver works with. It owns none of it: whoever made them closes them. */
export interface P2pDriverDeps {
  readonly transferer: ImageTransferer;
  /** Keeps uploads, and pushed blobs until the origins have them. */
  readonly castore: CaStore;
  /** For the modification time of what may change; the machine's own when not given. */
  readonly clock?: Clock;
}

/** One call of the driver. */
export interface Call {
  /** As it was given. */
  readonly path: string;
  readonly context: CallContext;
}

/** Facts of `stat` without the path. */
export type Facts = Omit<FileInfo, 'path'>;

/**
 * What one kind of path can do; what is left out is answered with an `UnsupportedError`. A kind with `getContent` and
 * without `reader` is read through its content.
 */
export interface KindHandlers<Path> {
  getContent?(path: Path, call: Call): Promise<Buffer>;
  putContent?(path: Path, content: Uint8Array, call: Call): Promise<void>;
  reader?(path: Path, range: ReadRange, call: Call): Promise<Readable>;
  writer?(path: Path, options: { readonly append: boolean }, call: Call): Promise<FileWriter>;
  stat?(path: Path, call: Call): Promise<Facts>;
  list?(path: Path, page: ListPage, call: Call): AsyncIterable<string>;
  moveTo?(path: Path, destination: RegistryPath, call: Call): Promise<void>;
  delete?(path: Path, call: Call): Promise<void>;
}

/** The kinds of paths. */
export type PathKind = RegistryPath['kind'];

/** The path of one kind. */
export type PathOf<Kind extends PathKind> = RegistryPath & { readonly kind: Kind };

/** What some kinds of paths can do. */
export type Handlers<Kind extends PathKind> = { readonly [K in Kind]: KindHandlers<PathOf<K>> };

/** What every kind of path can do. */
export type HandlerTable = Handlers<PathKind>;

/** A directory: it has no length and no time. */
export const directory: Facts = { size: 0, modTime: new Date(0), isDirectory: true };

/** An object named by its digest, or naming one by its path: it never changes, so its time stands still. */
export function immutableFile(size: number): Facts {
  return { size, modTime: new Date(0), isDirectory: false };
}

/** An object that may change. Nobody keeps the time of its last change, so it counts as changed now. */
export function changingFile(size: number, clock: Clock): Facts {
  return { size, modTime: new Date(clock.nowMs()), isDirectory: false };
}

/** Full paths of a directory's only children, as one page asks for them. */
export function* pageOf(children: Iterable<string>, { after, limit }: ListPage): Iterable<string> {
  let left = limit ?? Number.POSITIVE_INFINITY;
  for (const child of children) {
    if (left <= 0) return;
    if (after !== undefined && child <= after) continue;
    left -= 1;
    yield child;
  }
}

/** The same for children that come one after the other. */
export async function* pageOfStream(
  children: AsyncIterable<string>,
  { after, limit }: ListPage,
): AsyncIterable<string> {
  let left = limit ?? Number.POSITIVE_INFINITY;
  if (left <= 0) return;
  for await (const child of children) {
    if (after !== undefined && child <= after) continue;
    yield child;
    left -= 1;
    if (left <= 0) return;
  }
}
