import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { NAMESPACE_PREFIX } from './network.ts';

/** Where files are memory. */
const MEMORY_FOLDER = '/dev/shm';
const PAGE_BYTES = 4_096;
/** One page in so many bytes stays taken: what is free in between is handed out before longer stretches are broken up. */
const STRETCH_BYTES = 512 * 1024;
/** Given back at once. */
const CHUNK_BYTES = 32 * 2 ** 20;
/** So much more than at the start is free: what processes take between two looks. */
const AHEAD_BYTES = 128 * 2 ** 20;
const LOOK_EVERY_MS = 20;

/**
 * Memory that has been written to, for a run to take.
 *
 * A virtual machine may return free memory to its host, and has to get each page again at the first touch: 10 µs a page,
 * 3 s/GiB, on some machines. That is as much as all of a client's own work, and whoever happens to come later pays it. So
 * memory is written to before a run, and given back as it is used up, in stretches that the kernel hands out first: for every
 * engine alike, as on a machine of its own.
 */
export class TouchedMemory {
  readonly #folder: string;
  readonly #chunks: string[] = [];
  #timer: NodeJS.Timeout | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Writes to so much memory, at most half of what is there; none where files cannot be memory. The caller closes it.
   *
   * @throws the signal's reason
   */
  static async take(bytes: number, signal: AbortSignal): Promise<TouchedMemory | undefined> {
    const affordable = Math.min(bytes, memory('MemAvailable') / 2);
    if (!hasMemoryFolder()) return undefined;
    const taken = new TouchedMemory(mkdtempSync(join(MEMORY_FOLDER, `${NAMESPACE_PREFIX}${process.pid}-`)));
    try {
      for (let chunk = 0; (chunk + 1) * CHUNK_BYTES <= affordable; chunk++) {
        taken.#takeChunk();
        await setImmediate();
        signal.throwIfAborted();
      }
    } catch (error) {
      taken.close();
      throw error;
    }
    return taken;
  }

  /** From now on gives back what others take, but for a page in each stretch. */
  giveBack(): void {
    const wanted = memory('MemFree') + AHEAD_BYTES;
    const look = () => {
      for (let free = memory('MemFree'); free < wanted && this.#chunks.length > 0; free += CHUNK_BYTES) {
        rmSync(this.#chunks.pop()!);
      }
    };
    look();
    this.#timer = setInterval(look, LOOK_EVERY_MS);
  }

  /** Gives the rest back. */
  close(): void {
    clearInterval(this.#timer);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #takeChunk(): void {
    const chunk = join(this.#folder, String(this.#chunks.length));
    const [given, kept] = [openSync(chunk, 'w'), openSync(join(this.#folder, 'kept'), 'a')];
    this.#chunks.push(chunk);
    const zeros = Buffer.alloc(STRETCH_BYTES - PAGE_BYTES);
    for (let at = 0; at < CHUNK_BYTES; at += STRETCH_BYTES) {
      writeSync(given, zeros);
      writeSync(kept, zeros, 0, PAGE_BYTES);
    }
    closeSync(given);
    closeSync(kept);
  }
}

/** Removes what killed benches have left in memory. @returns the paths of the folders */
export async function removeTouchedMemory(isLeft: (name: string) => boolean): Promise<string[]> {
  if (!hasMemoryFolder()) return [];
  const left = readdirSync(MEMORY_FOLDER).filter(isLeft);
  const paths = left.map((name) => join(MEMORY_FOLDER, name));
  await Promise.all(paths.map((path) => rm(path, { recursive: true, force: true })));
  return paths;
}

function hasMemoryFolder(): boolean {
  try {
    return readdirSync(MEMORY_FOLDER) !== undefined;
  } catch {
    return false;
  }
}

/** A line of `/proc/meminfo`, in bytes. */
function memory(name: 'MemAvailable' | 'MemFree'): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'));
  return Number(match?.[1] ?? 0) * 1024;
}
