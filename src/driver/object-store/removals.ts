import { comparePaths, isWithin } from '../paths.ts';

/** Beyond this number, a walk looks at every object again. */
const maxRemembered = 1000;

/** What a driver removes while walks are under way: their pages may still name it. */
export class Removals {
  readonly #watches = new Set<RemovalWatch>();

  /** Remembers for one walk what is removed while it is under way. */
  async *during<T>(walk: (watch: RemovalWatch) => AsyncIterable<T>): AsyncGenerator<T> {
    const watch = new RemovalWatch();
    this.#watches.add(watch);
    try {
      yield* walk(watch);
    } finally {
      this.#watches.delete(watch);
    }
  }

  /** To be called when the object or directory at a path has been removed. */
  note(path: string): void {
    for (const watch of this.#watches) watch.note(path);
  }
}

/** See {@link Removals.during}. */
export class RemovalWatch {
  readonly #removed = new Set<string>();
  #isFull = false;

  note(path: string): void {
    if (this.#removed.size >= maxRemembered) this.#isFull = true;
    else this.#removed.add(path);
  }

  /** Whether it may have been removed since the walk began. The walk asks in the order of paths, and forgets what it has passed. */
  isSuspect(path: string): boolean {
    if (this.#isFull) return true;
    for (const removed of this.#removed) {
      if (isWithin(path, removed)) return true;
      if (comparePaths(removed, path) < 0) this.#removed.delete(removed);
    }
    return false;
  }
}
