import { type BigIntStats, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';

/** Links, and most manifests and configs. */
const MAX_REMEMBERED_FILE_BYTES = 16 * 1024;
const MAX_TOTAL_BYTES = 16 * 1024 * 1024;
/** What an entry costs beside its bytes, about. */
const ENTRY_BYTES = 512;
/** A file changed again within one tick of the kernel's clock (10 ms at most) may look the same; twice that and more is safe. */
const SETTLED_MS = 100;

/**
 * File systems whose inodes are this machine's own, so that to look at one that was looked at a moment ago costs no more than
 * a call of the system, and never waits for a server: ext, XFS, Btrfs, ZFS, F2FS, tmpfs, overlayfs (statfs(2), `f_type`).
 */
const LOCAL_TYPES: ReadonlySet<number> = new Set([
  0xef53, 0x58465342, 0x9123683e, 0x2fc12fc1, 0xf2f52010, 0x01021994, 0x794c7630,
]);

interface RememberedFile {
  readonly content: Buffer;
  readonly identity: BigIntStats;
}

/**
 * The bytes of small files that were read, which are as good as read again while the file is the same: the same inode with
 * the same length, changed last at the same time. To look costs 10 µs; to read a file of 71 bytes costs 400, most of it the
 * trips to a thread for each step of its path.
 *
 * What any process has changed is seen at once. On a file system of another machine nothing is remembered.
 */
export class RememberedFiles {
  readonly #root: string;
  readonly #isLocal: boolean;
  readonly #files = new LRUCache<string, RememberedFile>({
    maxSize: MAX_TOTAL_BYTES,
    sizeCalculation: ({ content }) => content.length + ENTRY_BYTES,
  });

  private constructor(root: string, isLocal: boolean) {
    this.#root = root;
    this.#isLocal = isLocal;
  }

  /** @param root absolute; what lies on another file system below it is taken for one like it */
  static async open(root: string): Promise<RememberedFiles> {
    const { type } = await statfs(root);
    return new RememberedFiles(root, LOCAL_TYPES.has(type));
  }

  /** A copy of the bytes of a file, if it is still the one that was read. */
  find(path: string): Buffer | undefined {
    const known = this.#files.get(path);
    if (known === undefined) return undefined;
    // Through the path as it was asked for: what leads there may have changed as well.
    const now = statSync(join(this.#root, path), { bigint: true, throwIfNoEntry: false });
    if (now !== undefined && isSame(now, known.identity)) return copyOf(known.content);
    this.#files.delete(path);
    return undefined;
  }

  /**
   * Takes a copy of the bytes of a file.
   * @param identity of the open file, from before it was read: what changes it after that gives it another one
   */
  remember(path: string, content: Buffer, identity: BigIntStats): void {
    if (!this.#isLocal || content.length > MAX_REMEMBERED_FILE_BYTES) return;
    if (BigInt(content.length) !== identity.size) return;
    const changedAtMs = Number(identity.ctimeMs);
    if (Math.abs(Date.now() - changedAtMs) < SETTLED_MS) return;
    this.#files.set(path, { content: copyOf(content), identity });
  }
}

/** Not from the shared pool: whoever keeps a link of 71 bytes would keep 8 KiB with it. */
function copyOf(content: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(content.length);
  content.copy(copy);
  return copy;
}

function isSame(one: BigIntStats, other: BigIntStats): boolean {
  return (
    one.ino === other.ino &&
    one.dev === other.dev &&
    one.size === other.size &&
    one.ctimeNs === other.ctimeNs &&
    one.mtimeNs === other.mtimeNs
  );
}
