import { nodeFileOps } from '../../src/castore/files.ts';
import { openCaStore } from '../../src/castore/index.ts';
import { filesWith } from './faulty-files.ts';
import { CAPACITY_BYTES, LONG_CAPACITY_BYTES, play, playLong } from './scenario.ts';

/**
 * A process that works on the store in argv[2] and is killed on the way: `hold` opens it and waits; `play <n>` plays the
 * scenario and kills itself before the n-th change to the disk, in the middle of it when it is a write; `play-long <n> <turns>`
 * fetches long pieces with a piece thread, whose writes count too, and kills itself so many turns of the loop later: 0 is at
 * once, with some the thread is in the middle of its work. Prints a line for each step that was acknowledged, and at the end
 * the number of changes.
 */
const [directory = '', what, countText = '0', turnsText = '0'] = process.argv.slice(2);
const killAt = Number(countText);
let changes = 0;

const count = () => {
  changes += 1;
  if (changes === killAt) killAfter(Number(turnsText));
};
const counting = filesWith(count);
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

function killAfter(turns: number): void {
  if (turns === 0) process.kill(process.pid, 'SIGKILL');
  setImmediate(() => killAfter(turns - 1));
}

/** Says which steps are acknowledged: synchronously on a pipe, so that what was said before the kill is heard. */
const say = (step: string) => process.stdout.write(`${step}\n`);

const isLong = what === 'play-long';
const store = await openCaStore({
  directory,
  capacityBytes: isLong ? LONG_CAPACITY_BYTES : CAPACITY_BYTES,
  files: isLong ? filesWith(count, nodeFileOps, count) : files,
});
if (what === 'hold') {
  process.stdout.write('open\n');
  setInterval(() => undefined, 60_000);
} else {
  await (isLong ? playLong(store, say) : play(store, say));
  await store.close();
  process.stdout.write(`changes ${changes}\n`);
}
