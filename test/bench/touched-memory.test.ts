import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NAMESPACE_PREFIX } from '../../bench/lib/network.ts';
import { removeTouchedMemory, TouchedMemory } from '../../bench/lib/touched-memory.ts';

const FOLDER = '/dev/shm';
const MIB = 2 ** 20;

function ours(): string[] {
  return readdirSync(FOLDER).filter((name) => name.startsWith(`${NAMESPACE_PREFIX}${process.pid}-`));
}

describe.runIf(existsSync(FOLDER))('memory that was written to', () => {
  it('is given back as a run takes it, and leaves nothing', async () => {
    const memory = await TouchedMemory.take(96 * MIB, new AbortController().signal);
    const [folder] = ours();
    expect(readdirSync(`${FOLDER}/${folder}`)).toHaveLength(4); // Three times 32 MiB, and the pages that stay.
    memory!.giveBack();
    // Less than is to be free beyond what was free at the start: all of it goes.
    await expect.poll(() => readdirSync(`${FOLDER}/${folder}`)).toEqual(['kept']);
    memory!.close();
    expect(ours()).toEqual([]);
  });

  it('is not kept by a bench that is aborted', async () => {
    const controller = new AbortController();
    const taking = TouchedMemory.take(256 * MIB, controller.signal);
    controller.abort(new Error('enough'));
    await expect(taking).rejects.toThrow('enough');
    expect(ours()).toEqual([]);
  });

  it('of a killed bench is removed', async () => {
    await TouchedMemory.take(32 * MIB, new AbortController().signal);
    const removed = await removeTouchedMemory((name) => ours().includes(name));
    expect(removed).toHaveLength(1);
    expect(ours()).toEqual([]);
  });
});
