import { nodeFileOps } from '../../src/castore/files.ts';
import { openCaStore } from '../../src/castore/index.ts';
import { filesWith } from './faulty-files.ts';
import { CAPACITY_BYTES, play } from './scenario.ts';

/**
 * A process that works on the store in argv[2] and is killed on the way: `hold` opens it and waits; `play <n>` plays the
 * scenario and kills itself before the n-th change to the disk, in the middle of it when it is a write. Prints a line for each
 * step that was acknowledged, and at the end the number of changes.
 */
const [directory = '', what, countText = '0'] = process.argv.slice(2);
const killAt = Number(countText);
let changes = 0;

const counting = filesWith(() => {
  changes += 1;
  if (changes === killAt) process.kill(process.pid, 'SIGKILL');
});
const files = {
  ...counting,
  open: async (...args: Parameters<typeof counting.open>) => {
    const file = await counting.open(...args);
    return {
      ...file,
      write: async (bytes: Uint8Array, position: number) => {
        // A torn write: half of it gets to the disk.
        if (changes + 1 === killAt) {
          const whole = await nodeFileOps.open(args[0], 'change');
          await whole.write(bytes.subarray(0, bytes.length >> 1), position);
        }
        return file.write(bytes, position);
      },
    };
  },
};

const store = await openCaStore({ directory, capacityBytes: CAPACITY_BYTES, files });
if (what === 'hold') {
  process.stdout.write('open\n');
  setInterval(() => undefined, 60_000);
} else {
  // Synchronous on a pipe: what was said before the kill is heard.
  await play(store, (step) => process.stdout.write(`${step}\n`));
  await store.close();
  process.stdout.write(`changes ${changes}\n`);
}
