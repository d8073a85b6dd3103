import { describe, expect, it } from 'vitest';
import { Semaphore, SemaphoreFullError } from '../../src/driver/semaphore.ts';

/** A task that ends when it is told to, and counts those that run beside it. */
function makeTasks() {
  const state = { running: 0, most: 0, started: [] as number[] };
  const ends: (() => void)[] = [];
  const task = (id: number) => async () => {
    state.started.push(id);
    state.running++;
    state.most = Math.max(state.most, state.running);
    await new Promise<void>((resolve) => ends.push(resolve));
    state.running--;
    return id;
  };
  const endOne = async () => {
    ends.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { state, task, endOne };
}

describe('Semaphore', () => {
  it('runs as many tasks at once as it has permits, in order', async () => {
    const semaphore = new Semaphore(2, 10);
    const { state, task, endOne } = makeTasks();
    const results = [1, 2, 3, 4, 5].map((id) => semaphore.run(task(id)));
    for (let round = 0; round < 5; round++) await endOne();
    expect(await Promise.all(results)).toEqual([1, 2, 3, 4, 5]);
    expect(state).toEqual({ running: 0, most: 2, started: [1, 2, 3, 4, 5] });
  });

  it('hands a permit on when a task fails', async () => {
    const semaphore = new Semaphore(1, 10);
    const failed = semaphore.run(() => Promise.reject(new Error('failed')));
    const next = semaphore.run(async () => 'next');
    await expect(failed).rejects.toThrow('failed');
    expect(await next).toBe('next');
    expect(await semaphore.run(async () => 'free again')).toBe('free again');
  });

  it('refuses more waiting callers than it has places for', async () => {
    const semaphore = new Semaphore(1, 1);
    const { task, endOne } = makeTasks();
    const first = semaphore.run(task(1));
    const second = semaphore.run(task(2));
    await expect(semaphore.run(task(3))).rejects.toBeInstanceOf(SemaphoreFullError);
    await endOne();
    await endOne();
    expect(await Promise.all([first, second])).toEqual([1, 2]);
  });

  it('lets a waiting caller go when its signal aborts, and keeps the permit of one that runs', async () => {
    const semaphore = new Semaphore(1, 10);
    const { state, task, endOne } = makeTasks();
    const controller = new AbortController();
    const reason = new Error('gone');
    const running = semaphore.run(task(1), controller.signal);
    const waiting = semaphore.run(task(2), controller.signal);
    const other = semaphore.run(task(3));
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(state.started).toEqual([1]);
    await endOne();
    await endOne();
    expect(await Promise.all([running, other])).toEqual([1, 3]);
    await expect(semaphore.run(task(4), controller.signal)).rejects.toBe(reason);
  });
});
