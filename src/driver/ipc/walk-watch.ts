import { isWithin } from '../paths.ts';

/** More than these are not told apart: then everything is looked at again. */
const MAX_PATHS = 1000;

/**
 * What has gone away by calls of this process while a walk is under way. The driver program runs ahead of the walk by as much as
 * fits between them, so an entry that comes may name what was deleted or moved meanwhile; it is looked at again.
 */
export class WalkWatch {
  readonly #gone = new Set<string>();
  #isOverfull = false;

  /** Something was deleted or moved away. */
  remove(path: string): void {
    if (this.#gone.size >= MAX_PATHS) this.#isOverfull = true;
    else this.#gone.add(path);
  }

  /** Whether an entry may be gone. */
  suspects(path: string): boolean {
    if (this.#isOverfull) return true;
    for (const gone of this.#gone) if (isWithin(path, gone)) return true;
    return false;
  }
}
