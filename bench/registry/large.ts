import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseDigest } from '../../src/core/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import type { RemoteChild } from '../lib/remote-child.ts';
import { TouchedMemory } from '../lib/touched-memory.ts';
import type { Workbench } from '../lib/workbench.ts';
import { labelOf, type RunningEngine, startEngine } from './engine.ts';
import { blobUrl, type Figures, type Prepare, perGib, type Stage, type Subject } from './measurement.ts';
import { metered } from './meter.ts';
import { REPOSITORY } from './push.ts';
import type { TransferCalls, UploadWay } from './transfer-calls.ts';

const WAYS: Readonly<Record<UploadWay, string>> = { put: 'POST and PUT', patch: 'POST, chunked PATCH and PUT' };
const CLIENTS = [1, 8] as const;
/** What the processes take beside the page cache. */
const PROCESSES_BYTES = 256 * 2 ** 20;

/** Starts a client of large blobs; the workbench ends it. */
export function startTransferClient(workbench: Workbench, name: string): RemoteChild<TransferCalls> {
  const script = fileURLToPath(new URL('transfer-client.ts', import.meta.url));
  return workbench.startRemote<TransferCalls>(`client of ${name}`, [process.execPath, script]);
}

/** Uploads of a new blob each time, in both ways. */
export const prepareUploads: Prepare = async (stage) => {
  const { workbench, options, engine, folder } = stage;
  const running = await startEngine(workbench, engine, stage);
  const client = startTransferClient(workbench, labelOf(engine));
  const { sizeBytes } = options;
  let seed = 0;
  return (Object.keys(WAYS) as UploadWay[]).map((way) => ({
    variant: WAYS[way],
    measure: async (): Promise<Figures> => {
      const { digest } = await client.call('make', { sizeBytes, seed: seed++ });
      const memory = await TouchedMemory.take(sizeBytes + PROCESSES_BYTES, workbench.signal);
      try {
        memory?.giveBack();
        const { result, meter } = await metered(running.pids, [client.pid], () =>
          client.call('upload', { baseUrl: running.baseUrl, repository: REPOSITORY, way }),
        );
        return { ...speed(sizeBytes, result.seconds), cpuSecondsPerGib: perGib(meter, sizeBytes), meter };
      } finally {
        memory?.close();
        // The next one needs the room, on disk and in the page cache.
        await unlink(join(folder, formatPath({ kind: 'blob-data', digest: parseDigest(digest) })));
      }
    },
  }));
};

/** Downloads through the registry alone. */
export const prepareDownloads: Prepare = (stage) => downloads(stage, false);

/** Downloads of which Shoal hands the bytes to nginx. */
export const prepareOffloaded: Prepare = (stage) => downloads(stage, true);

async function downloads(stage: Stage, offload: boolean): Promise<Subject[]> {
  const { workbench, options, engine, folder } = stage;
  const running = await startEngine(workbench, engine, { folder, offload });
  const client = startTransferClient(workbench, labelOf(engine));
  const { sizeBytes } = options;
  const url = await uploadOne(client, running, sizeBytes);
  return CLIENTS.map((clients) => ({
    variant: clients === 1 ? '1 client' : `${clients} clients`,
    measure: async (): Promise<Figures> => {
      const { result, meter } = await metered(running.pids, [client.pid], () =>
        client.call('download', { url, sizeBytes, clients }),
      );
      const bytes = clients * sizeBytes;
      return { ...speed(bytes, result.seconds), cpuSecondsPerGib: perGib(meter, bytes), meter };
    },
  }));
}

/** Uploads a blob; it is in the page cache then. @returns its URL */
export async function uploadOne(
  client: RemoteChild<TransferCalls>,
  running: RunningEngine,
  sizeBytes: number,
): Promise<string> {
  const { digest } = await client.call('make', { sizeBytes, seed: 0 });
  await client.call('upload', { baseUrl: running.baseUrl, repository: REPOSITORY, way: 'put' });
  return blobUrl(running, REPOSITORY, digest);
}

function speed(bytes: number, seconds: number): { readonly megabytesPerSecond: number } {
  return { megabytesPerSecond: bytes / 1e6 / seconds };
}
