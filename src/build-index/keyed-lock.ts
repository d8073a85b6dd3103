import { UnavailableError } from '../core/index.ts';

/** Beyond this many waiting tasks of one key, further ones are turned away: whoever sent them tries again later. */
const WAITING_MAX = 10_000;

interface Waiter {
  readonly exclusive: boolean;
  readonly start: () => void;
}

/** Who holds one key now: any number of shared tasks, or a single exclusive one. */
interface Queue {
  holders: number;
  exclusive: boolean;
  readonly waiting: Waiter[];
}

/**
 * Locks by key, in this process: shared tasks of one key run at once, an exclusive one runs alone. Served in the order in
 * which they came, so that neither kind starves the other.
 */
export class KeyedLock {
  readonly #queues = new Map<string, Queue>();

  /** Runs `task` while no exclusive task of `key` runs. */
  shared<T>(key: string, task: () => Promise<T>): Promise<T> {
    return this.#run(key, false, task);
  }

  /** Runs `task` while no other task of `key` runs. */
  exclusive<T>(key: string, task: () => Promise<T>): Promise<T> {
    return this.#run(key, true, task);
  }

  async #run<T>(key: string, exclusive: boolean, task: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(key) ?? { holders: 0, exclusive: false, waiting: [] };
    this.#queues.set(key, queue);
    await enter(queue, key, exclusive);
    try {
      return await task();
    } finally {
      leave(queue);
      if (queue.holders === 0) this.#queues.delete(key);
    }
  }
}

async function enter(queue: Queue, key: string, exclusive: boolean): Promise<void> {
  if (queue.waiting.length === 0 && fits(queue, exclusive)) {
    take(queue, exclusive);
    return;
  }
  if (queue.waiting.length >= WAITING_MAX) {
    throw new UnavailableError(`${WAITING_MAX} writes already wait for ${key}; try again later`);
  }
  await new Promise<void>((start) => {
    queue.waiting.push({ exclusive, start });
  });
}

/** Lets in whoever comes next; with nobody left in, nobody waits either. */
function leave(queue: Queue): void {
  queue.holders -= 1;
  if (queue.holders === 0) queue.exclusive = false;
  for (let next = queue.waiting[0]; next !== undefined && fits(queue, next.exclusive); next = queue.waiting[0]) {
    queue.waiting.shift();
    take(queue, next.exclusive);
    next.start();
  }
}

function fits(queue: Queue, exclusive: boolean): boolean {
  return queue.holders === 0 || !(exclusive || queue.exclusive);
}

function take(queue: Queue, exclusive: boolean): void {
  queue.holders += 1;
  queue.exclusive = exclusive;
}
