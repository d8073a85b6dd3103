/** One storage in a process of its own, so that its memory can be told. Ends with its standard input. */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import type { Readable } from 'node:stream';
import { BenchRunError } from '../lib/errors.ts';
import { serveCalls } from '../lib/remote-calls.ts';
import type { Operation, SubjectCalls } from './calls.ts';
import { digestOfSize } from './content.ts';
import { openStorage, type Storage } from './storages.ts';

let storage: Storage | undefined;

serveCalls<SubjectCalls>({
  open: async ({ name, parameters }) => {
    storage = await openStorage(name, parameters);
    return {};
  },
  run: async ({ operation, sizeBytes, count }) => {
    const opened = openedStorage();
    await writeFile('/proc/self/clear_refs', '5'); // The peak of memory begins anew (proc(5)).
    const cpu = process.cpuUsage();
    const startMs = performance.now();
    for (let index = 0; index < count; index++) await runOne(opened, operation, sizeBytes, index);
    const seconds = (performance.now() - startMs) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    return { seconds, cpuSeconds: (user + system) / 1e6, peakBytes: await peakBytes() };
  },
  verify: async ({ sizeBytes }) => {
    const hash = createHash('sha256');
    await consume(await openedStorage().read(pathOf('write', sizeBytes, 0)), (chunk) => hash.update(chunk));
    const [got, expected] = [hash.digest('hex'), digestOfSize(sizeBytes)];
    if (got === expected) return {};
    throw new BenchRunError(`an object of ${sizeBytes} bytes has the digest ${got}, expected ${expected}`);
  },
  close: async () => {
    await openedStorage().close();
    return {};
  },
});

function openedStorage(): Storage {
  if (storage === undefined) throw new BenchRunError('open was not called');
  return storage;
}

async function runOne(opened: Storage, operation: Operation, sizeBytes: number, index: number): Promise<void> {
  const path = pathOf(operation, sizeBytes, index);
  switch (operation) {
    case 'put':
      return opened.put(path, sizeBytes);
    case 'write':
      return opened.write(path, sizeBytes);
    default: {
      const read = operation === 'get' ? (await opened.get(path)).length : await lengthOf(await opened.read(path));
      if (read !== sizeBytes) throw new BenchRunError(`${path} has ${read} bytes, expected ${sizeBytes}`);
    }
  }
}

function pathOf(operation: Operation, sizeBytes: number, index: number): string {
  const way = operation === 'put' || operation === 'get' ? 'put' : 'written';
  return `/bench/${way}/${sizeBytes}/${index}`;
}

async function lengthOf(stream: Readable): Promise<number> {
  let bytes = 0;
  await consume(stream, (chunk) => {
    bytes += chunk.length;
  });
  return bytes;
}

function consume(stream: Readable, take: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.on('data', take).on('end', resolve).on('error', reject);
  });
}

async function peakBytes(): Promise<number> {
  const match = /^VmHWM:\s+(\d+) kB/m.exec(await readFile('/proc/self/status', 'utf8'));
  return Number(match?.[1] ?? 0) * 1024;
}
