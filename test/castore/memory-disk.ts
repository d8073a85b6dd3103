import { basename, dirname } from 'node:path';
import type { FileOps, OpenFile, OpenMode } from '../../src/castore/files.ts';
import { fileError } from './faulty-files.ts';

/** How a machine goes down: what of the things that were not synced is there afterwards. */
export type Outage =
  /** The process was killed: all is there. */
  | 'kill'
  /** The power failed and nothing is there that was not synced: neither bytes nor names. */
  | 'power, all lost'
  /** The power failed, the journal was written: names and lengths are there, bytes that were not synced are zeros. */
  | 'power, zeros';

export const outages: readonly Outage[] = ['kill', 'power, all lost', 'power, zeros'];

/** Disks write this much or nothing. */
const BLOCK_BYTES = 4096;

/** Contents are replaced, never changed, so that a snapshot may keep them. */
interface FileNode {
  readonly kind: 'file';
  content: Buffer;
  synced: Buffer;
  accessedAtMs: number;
  modifiedAtMs: number;
}

interface FolderNode {
  readonly kind: 'folder';
  entries: Map<string, Node>;
  synced: Map<string, Node>;
}

type Node = FileNode | FolderNode;

/** A rename is in the journal as one thing: a sync of either folder settles both. */
interface Rename {
  readonly node: Node;
  readonly from: FolderNode;
  readonly fromName: string;
  readonly to: FolderNode;
  readonly toName: string;
}

/** A file system in memory that knows what has been synced. `before` hears of each change just before it is made. */
export class MemoryDisk implements FileOps {
  readonly #root: FolderNode;
  #renames: Rename[] = [];
  before: (operation: string, path: string) => void = () => undefined;

  constructor(root: FolderNode = emptyFolder()) {
    this.#root = root;
  }

  /** The disk as it is found after an outage at this moment. The claim of the dead process goes: its process id is ours. */
  after(outage: Outage): MemoryDisk {
    const disk = new MemoryDisk(cloneFolder(this.#root, outage));
    for (const [, node] of disk.#root.entries) {
      if (node.kind === 'folder') node.entries.delete('claims');
      if (node.kind === 'folder') node.synced.delete('claims');
    }
    return disk;
  }

  async open(path: string, mode: OpenMode): Promise<OpenFile> {
    if (mode !== 'read') this.before('open', path);
    const folder = this.#folder(dirname(path));
    let node = folder.entries.get(basename(path));
    if (node === undefined) {
      if (mode === 'read') throw fileError('ENOENT');
      node = { kind: 'file', content: Buffer.alloc(0), synced: Buffer.alloc(0), ...now() };
      folder.entries.set(basename(path), node);
    }
    if (node.kind === 'folder') throw fileError('EISDIR');
    if (mode === 'create') node.content = Buffer.alloc(0);
    return this.#openNode(node, path);
  }

  async mkdir(path: string): Promise<void> {
    this.before('mkdir', path);
    const folder = this.#folder(dirname(path));
    if (folder.entries.has(basename(path))) throw fileError('EEXIST');
    folder.entries.set(basename(path), emptyFolder());
  }

  async readdir(path: string): Promise<string[]> {
    return [...this.#folder(path).entries.keys()];
  }

  async stat(path: string) {
    const node = this.#node(path);
    if (node.kind === 'folder') return { sizeBytes: 0, accessedAtMs: 0, modifiedAtMs: 0 };
    return { sizeBytes: node.content.length, accessedAtMs: node.accessedAtMs, modifiedAtMs: node.modifiedAtMs };
  }

  async rename(fromPath: string, toPath: string): Promise<void> {
    this.before('rename', fromPath);
    const node = this.#node(fromPath);
    const [from, fromName] = [this.#folder(dirname(fromPath)), basename(fromPath)];
    const [to, toName] = [this.#folder(dirname(toPath)), basename(toPath)];
    from.entries.delete(fromName);
    to.entries.set(toName, node);
    this.#renames.push({ node, from, fromName, to, toName });
  }

  async unlink(path: string): Promise<void> {
    this.before('unlink', path);
    if (this.#node(path).kind === 'folder') throw fileError('EISDIR');
    this.#folder(dirname(path)).entries.delete(basename(path));
  }

  async rmdir(path: string): Promise<void> {
    this.before('rmdir', path);
    if (this.#folder(path).entries.size > 0) throw fileError('ENOTEMPTY');
    this.#folder(dirname(path)).entries.delete(basename(path));
  }

  async setTimes(path: string, times: { accessedAtMs: number; modifiedAtMs: number }): Promise<void> {
    this.before('setTimes', path);
    const node = this.#node(path);
    if (node.kind === 'file') Object.assign(node, times);
  }

  async syncDirectory(path: string): Promise<void> {
    this.before('syncDirectory', path);
    const folder = this.#folder(path);
    for (const { node, from, fromName, to, toName } of this.#renames.filter(
      (r) => r.from === folder || r.to === folder,
    )) {
      if (from.synced.get(fromName) === node) from.synced.delete(fromName);
      to.synced.set(toName, node);
    }
    this.#renames = this.#renames.filter((r) => r.from !== folder && r.to !== folder);
    folder.synced = new Map(folder.entries);
  }

  #openNode(node: FileNode, path: string): OpenFile {
    return {
      read: async (buffer, position) => {
        const bytes = node.content.subarray(position, position + buffer.length);
        buffer.set(bytes);
        return bytes.length;
      },
      write: async (bytes, position) => {
        // In two halves, so that an outage may come between them.
        const half = bytes.length >> 1;
        this.before('first half of write', path);
        replace(node, bytes.subarray(0, half), position);
        this.before('second half of write', path);
        replace(node, bytes.subarray(half), position + half);
        return bytes.length;
      },
      truncate: async (sizeBytes) => {
        this.before('truncate', path);
        node.content = Buffer.concat([
          node.content,
          Buffer.alloc(Math.max(0, sizeBytes - node.content.length)),
        ]).subarray(0, sizeBytes);
      },
      sync: async () => {
        this.before('sync', path);
        node.synced = node.content;
      },
      sizeBytes: async () => node.content.length,
      close: async () => undefined,
    };
  }

  #node(path: string): Node {
    if (path === '/') return this.#root;
    const node = this.#folder(dirname(path)).entries.get(basename(path));
    if (node === undefined) throw fileError('ENOENT');
    return node;
  }

  #folder(path: string): FolderNode {
    const node = this.#node(path);
    if (node.kind === 'file') throw fileError('ENOTDIR');
    return node;
  }
}

function emptyFolder(): FolderNode {
  return { kind: 'folder', entries: new Map(), synced: new Map() };
}

function now() {
  return { accessedAtMs: Date.now(), modifiedAtMs: Date.now() };
}

function replace(node: FileNode, bytes: Uint8Array, position: number): void {
  const content = Buffer.alloc(Math.max(node.content.length, position + bytes.length));
  content.set(node.content);
  content.set(bytes, position);
  node.content = content;
  node.modifiedAtMs = Date.now();
}

function cloneFolder(folder: FolderNode, outage: Outage): FolderNode {
  const left = outage === 'power, all lost' ? folder.synced : folder.entries;
  const entries = new Map([...left].map(([name, node]) => [name, cloneNode(node, outage)] as const));
  return { kind: 'folder', entries, synced: new Map(entries) };
}

function cloneNode(node: Node, outage: Outage): Node {
  if (node.kind === 'folder') return cloneFolder(node, outage);
  const content = contentAfter(node, outage);
  return { ...node, content, synced: content };
}

function contentAfter({ content, synced }: FileNode, outage: Outage): Buffer {
  if (outage === 'kill') return content;
  if (outage === 'power, all lost' || content === synced) return synced;
  const left = Buffer.alloc(content.length);
  for (let at = 0; at < content.length; at += BLOCK_BYTES) {
    // A block that was synced and not written since is there.
    const block = content.subarray(at, at + BLOCK_BYTES);
    if (block.equals(synced.subarray(at, at + BLOCK_BYTES))) left.set(block, at);
  }
  return left;
}
