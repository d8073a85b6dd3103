import { comparePaths } from '../paths.ts';

/** An entry of a listing, by its key. */
interface Keyed {
  readonly name: string;
}

/** Keys below a prefix, for {@link inPathOrder}. */
export type ListBelow<Entry> = (prefix: string) => AsyncIterable<Entry>;

/** The character behind the slash: every key that begins with `x/` is before `x0`. */
const behindSlash = '0';

/**
 * The directories whose keys come behind a key although in the order of {@link comparePaths} they come before it, if they exist:
 * for `p/a-b.c/d` behind `p/` these are `p/a/` and `p/a-b/`. In the order in which they come; each ends with its slash.
 *
 * @param from how many characters at the start of the key do not count
 */
export function earlierDirectories(key: string, from: number): string[] {
  const directories: string[] = [];
  for (let index = from + 1; index < key.length; index++) {
    const isBeforeSlash = key[index] === '-' || key[index] === '.';
    // A name cannot be empty, so nothing is below what is in front of one that begins so.
    if (isBeforeSlash && key[index - 1] !== '/') directories.push(`${key.slice(0, index)}/`);
  }
  return directories;
}

/**
 * Brings the keys of an object store into the order of {@link comparePaths}.
 *
 * A store sorts whole keys by their bytes, so `a-b` and `a.b` come before `a/b`, because `-` and `.` are before the slash.
 * In the order of paths `a/b` comes first. A key with such a character is held back until the listing has passed all keys
 * that begin with what is in front of the character and a slash; that is soon, as a rule. When more than `maxHeld` would be
 * held, those that come first are asked for by `below`, and passed over when the listing gets to them; `onAhead` hears of what
 * they begin with, so that the listing can leave them out.
 *
 * @param from how many characters at the start of each key do not count, because all of them share it
 */
export async function* inPathOrder<Entry extends Keyed>(
  entries: AsyncIterable<Entry>,
  options: {
    readonly from: number;
    readonly below: ListBelow<Entry>;
    readonly maxHeld: number;
    readonly onAhead?: (prefix: string) => void;
  },
): AsyncIterable<Entry> {
  const order = new KeyOrder<Entry>(options.from);
  for await (const entry of entries) {
    yield* order.accept(entry);
    while (order.heldCount > options.maxHeld) {
      const front = order.heldFront();
      if (front === undefined) break;
      yield* options.below(front);
      options.onAhead?.(front);
      yield* order.passAhead(front);
    }
  }
  yield* order.releaseAll();
}

/** Holds back keys until nothing can come before them any more. */
class KeyOrder<Entry extends Keyed> {
  readonly #from: number;
  /** What has been given out ahead of the listing: all keys that begin with one of these. */
  #ahead: string[] = [];
  #held: Entry[] = [];
  /** The listing has to get here before those that are held may go. */
  #heldUntil = '';

  constructor(from: number) {
    this.#from = from;
  }

  get heldCount(): number {
    return this.#held.length;
  }

  /** What comes before everything that is held, if there is anything below it. */
  heldFront(): string | undefined {
    const [first] = this.#held;
    return first === undefined ? undefined : this.#frontOf(first.name);
  }

  /** Takes the next entry of the listing. @returns what may go now */
  *accept(entry: Entry): Iterable<Entry> {
    if (this.#held.length > 0 && entry.name >= this.#heldUntil) yield* this.releaseAll();
    this.#ahead = this.#ahead.filter((prefix) => entry.name < prefix || entry.name.startsWith(prefix));
    if (this.#ahead.some((prefix) => entry.name.startsWith(prefix))) return;
    if (this.#held.length === 0) {
      const front = this.#frontOf(entry.name);
      if (front === undefined) {
        yield entry;
        return;
      }
      this.#heldUntil = front.slice(0, -1) + behindSlash;
    }
    this.#held.push(entry);
  }

  /** Says that all keys that begin so have been given out. @returns what may go now */
  *passAhead(prefix: string): Iterable<Entry> {
    this.#ahead.push(prefix);
    const held = this.#held;
    this.#held = [];
    const ahead = this.#ahead;
    for (const entry of held) {
      this.#ahead = ahead;
      yield* this.accept(entry);
    }
    this.#ahead = ahead;
  }

  *releaseAll(): Iterable<Entry> {
    const held = this.#held.sort((left, right) => comparePaths(left.name, right.name));
    this.#held = [];
    yield* held;
  }

  /** The first directory that may come before a key and behind it in the listing. */
  #frontOf(name: string): string | undefined {
    return earlierDirectories(name, this.#from).find((directory) => !this.#ahead.includes(directory));
  }
}
