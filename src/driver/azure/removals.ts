import { isWithin } from '../paths.ts';

/** Beyond this number, a walk looks at every object again. */
const maxRemembered = 1000;

/** What this driver removes while walks are under way: their pages may still name it. */
export class Removals {
  readonly #watches = new Set<RemovalWatch>();

  /** Begins to remember, for one walk; `end` has to be called. */
  watch(): RemovalWatch {
    const watch = new RemovalWatch(() => this.#watches.delete(watch));
    this.#watches.add(watch);
    return watch;
  }

  /** To be called when the object or directory at a path has been removed. */
  note(path: string): void {
    for (const watch of this.#watches) watch.note(path);
  }
}

/** See {@link Removals.watch}. */
export class RemovalWatch {
  readonly end: () => void;
  readonly #removed = new Set<string>();
  #isFull = false;

  constructor(end: () => void) {
    this.end = end;
  }

  note(path: string): void {
    if (this.#removed.size >= maxRemembered) this.#isFull = true;
    else this.#removed.add(path);
  }

  /** Whether it may have been removed since the walk began. */
  isSuspect(path: string): boolean {
    if (this.#isFull) return true;
    for (const removed of this.#removed) if (isWithin(path, removed)) return true;
    return false;
  }
}
