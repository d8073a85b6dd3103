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
 * Brings the keys of an object store into the order of {@link comparePaths}.
 *
 * A store sorts whole keys by their bytes, so `a-b` and `a.b` come before `a/b`, because `-` and `.` are before the slash.
 * In the order of paths `a/b` comes first. A key with such a character is held back until the listing has passed all keys
 * that begin with what is in front of the character and a slash; that is soon, as a rule. When more than `maxHeld` would be
 * held, those that come first are asked for by `below`, and passed over when the listing gets to them.
 *
 * @param from how many characters at the start of each key do not count, because all of them share it
 */
export async function* inPathOrder<Entry extends Keyed>(
  entries: AsyncIterable<Entry>,
  options: { readonly from: number; readonly below: ListBelow<Entry>; readonly maxHeld: number },
): AsyncIterable<Entry> {
  const order = new KeyOrder<Entry>(options.from);
  for await (const entry of entries) {
    yield* order.accept(entry);
    while (order.heldCount > options.maxHeld) {
      const front = order.heldFront();
      if (front === undefined) break;
      yield* options.below(`${front}/`);
      yield* order.passAhead(`${front}/`);
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
      this.#heldUntil = front + behindSlash;
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

  /** What is in front of the first `-` or `.` of a key behind which something smaller may still come. */
  #frontOf(name: string): string | undefined {
    for (let index = this.#from + 1; index < name.length; index++) {
      const character = name[index];
      // A name cannot be empty, so nothing is below what is in front of one that begins so.
      if ((character !== '-' && character !== '.') || name[index - 1] === '/') continue;
      const front = name.slice(0, index);
      if (!this.#ahead.includes(`${front}/`)) return front;
    }
    return undefined;
  }
}
