import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BenchRunError } from '../lib/errors.ts';
import { usageOf } from '../lib/process-usage.ts';
import { median } from '../lib/statistics.ts';
import { labelOf, startEngine } from './engine.ts';
import { startTransferClient, uploadOne } from './large.ts';
import type { Figures, Prepare } from './measurement.ts';
import { metered } from './meter.ts';
import type { SlowReaderCalls } from './transfer-calls.ts';

const BYTES_PER_SECOND = 4 * 1024;
const RECEIVE_BUFFER_BYTES = 4 * 1024;
const LOOK_EVERY_MS = 500;

/** Readers that take a few kB a second; the memory of servers that have just been started, and have served nothing else. */
export const prepareSlowReaders: Prepare = async ({ workbench, options, engine, folder }) => {
  const filling = await startEngine(workbench, engine, { folder });
  const uploader = startTransferClient(workbench, labelOf(engine));
  const { pathname } = new URL(await uploadOne(uploader, filling, 2 * options.sizeBytes));
  await Promise.all([uploader.kill(), filling.stop()]);
  const { slowReaders: readers, durationSeconds: seconds } = options;
  return [
    {
      variant: `${readers} readers`,
      measure: async (): Promise<Figures> => {
        const running = await startEngine(workbench, engine, { folder });
        const script = fileURLToPath(new URL('slow-readers.py', import.meta.url));
        const client = workbench.startRemote<SlowReaderCalls>('slow readers', ['python3', script]);
        try {
          const port = Number(new URL(running.baseUrl).port);
          const { result, meter } = await metered(running.pids, [client.pid], async () => {
            await client.call('open', { port, path: pathname, readers, receiveBufferBytes: RECEIVE_BUFFER_BYTES });
            const reading = client.call('read', { seconds, bytesPerSecond: BYTES_PER_SECOND });
            const [{ ended }, steadyMemoryBytes] = await Promise.all([
              reading,
              steadyMemory(running.pids, seconds, workbench.signal),
            ]);
            if (ended > 0) throw new BenchRunError(`${labelOf(engine)} hung up on ${ended} of ${readers} slow readers`);
            return { steadyMemoryBytes, peakMemoryBytes: await peakMemory(running.pids) };
          });
          return { ...result, meter };
        } finally {
          await Promise.all([client.kill(), running.stop()]);
        }
      },
    },
  ];
};

async function peakMemory(pids: readonly number[]): Promise<number> {
  return [...(await usageOf(pids)).values()].reduce((sum, { peakMemoryBytes }) => sum + peakMemoryBytes, 0);
}

/** Looks for so many seconds; the median of what was seen in the second half of them. */
async function steadyMemory(pids: readonly number[], seconds: number, signal: AbortSignal): Promise<number> {
  const seen: number[] = [];
  for (let elapsedMs = 0; elapsedMs < seconds * 1_000; elapsedMs += LOOK_EVERY_MS) {
    await sleep(LOOK_EVERY_MS, undefined, { signal });
    const each = await Promise.all(pids.map(residentBytes));
    seen.push(each.reduce((sum, bytes) => sum + bytes, 0));
  }
  return median(seen.slice(Math.floor(seen.length / 2))) ?? 0;
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}
