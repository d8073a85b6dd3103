import { NotADirectoryError, NotAFileError, PathNotFoundError } from '../errors.ts';

/** An object: its bytes are never changed, a new object takes its place. */
export interface ObjectNode {
  readonly isDirectory: false;
  readonly bytes: Buffer;
  readonly modTimeMs: number;
  /** Another number for every object that was ever put. */
  readonly revision: number;
}

/** A directory: it is there as long as something is below it. */
export interface DirectoryNode {
  readonly isDirectory: true;
  readonly children: Map<string, TreeNode>;
}

export type TreeNode = ObjectNode | DirectoryNode;

/** Objects by path. Every call takes effect in one step, so that no other call sees the half of it. */
export class ObjectTree {
  readonly #driverName: string;
  readonly #root: DirectoryNode = { isDirectory: true, children: new Map() };

  constructor(driverName: string) {
    this.#driverName = driverName;
  }

  find(path: string): TreeNode | undefined {
    let node: TreeNode | undefined = this.#root;
    for (const name of componentsOf(path)) {
      if (!node?.isDirectory) return undefined;
      node = node.children.get(name);
    }
    return node;
  }

  /** @throws PathNotFoundError, NotAFileError */
  getObject(path: string): ObjectNode {
    const node = this.find(path);
    if (node === undefined) throw new PathNotFoundError(this.#driverName, path);
    if (node.isDirectory) throw new NotAFileError(this.#driverName, path);
    return node;
  }

  /** What stands in the way of an object at this path is thrown; nothing changes. @throws NotADirectoryError, NotAFileError */
  requireFree(path: string): void {
    let node: TreeNode | undefined = this.#root;
    for (const name of componentsOf(path)) {
      if (node === undefined) return;
      if (!node.isDirectory) throw new NotADirectoryError(this.#driverName, path);
      node = node.children.get(name);
    }
    if (node?.isDirectory) throw new NotAFileError(this.#driverName, path);
  }

  /** Puts an object in place of what is there. @throws NotADirectoryError, NotAFileError */
  put(path: string, object: ObjectNode): void {
    this.requireFree(path);
    const components = componentsOf(path);
    const name = components.pop() ?? '';
    let directory = this.#root;
    for (const component of components) {
      const existing = directory.children.get(component);
      const next: DirectoryNode = existing?.isDirectory ? existing : { isDirectory: true, children: new Map() };
      if (existing === undefined) directory.children.set(component, next);
      directory = next;
    }
    directory.children.set(name, object);
  }

  /** Takes an object or a whole directory away, with directories that hold nothing any more. */
  remove(path: string): TreeNode | undefined {
    return removeBelow(this.#root, componentsOf(path));
  }
}

/** Bytes of all objects at or below a node. */
export function sizeOf(node: TreeNode | undefined): number {
  if (node === undefined) return 0;
  if (!node.isDirectory) return node.bytes.length;
  let size = 0;
  for (const child of node.children.values()) size += sizeOf(child);
  return size;
}

function removeBelow(directory: DirectoryNode, components: readonly string[]): TreeNode | undefined {
  const [name = '', ...rest] = components;
  const child = directory.children.get(name);
  if (rest.length === 0) {
    directory.children.delete(name);
    return child;
  }
  if (!child?.isDirectory) return undefined;
  const removed = removeBelow(child, rest);
  if (child.children.size === 0) directory.children.delete(name);
  return removed;
}

function componentsOf(path: string): string[] {
  return path === '/' ? [] : path.slice(1).split('/');
}
