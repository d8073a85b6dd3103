import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hashBytes, type LentBytes, type LentRuns, lentRunsKey, takeLentRuns } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { bytesOf } from './client.ts';
import { folderDriver, serveRegistry } from './running-registry.ts';
import { wrapDriver } from './wrapped-driver.ts';

const MIB = 2 ** 20;

describe('blobs of a folder, on their way to clients', () => {
  it('break off at the last part when the file has other bytes than its digest says', async () => {
    const folder = await makeTempDir();
    const { url, client } = await serveRegistry(await folderDriver(folder));
    const blob = bytesOf('good', 3 * MIB);
    const digest = await client.putBlob('a', blob);
    const damaged = Buffer.from(blob);
    damaged[0]! ^= 1;
    await writeFile(join(folder, formatPath({ kind: 'blob-data', digest: hashBytes(blob) })), damaged);
    const response = await fetch(`${url}/v2/a/blobs/${digest}`);
    expect(response.status).toBe(200);
    await expect(response.arrayBuffer()).rejects.toThrow();
    // A part of it cannot be checked: whoever asks for one gets what is there.
    const part = await client.call('GET', `/v2/a/blobs/${digest}`, { headers: { range: 'bytes=0-9' } });
    expect([part.status, part.body.equals(damaged.subarray(0, 10))]).toEqual([206, true]);
  });

  it('take half a MiB for each client that reads nothing', async () => {
    const driver = await folderDriver();
    const { counted, memory } = countLent(driver);
    const { url, client } = await serveRegistry(counted);
    const digest = await client.putBlob('a', Buffer.alloc(16 * MIB, 'sixteen'));
    const readers = 40;
    const sockets = await Promise.all(Array.from({ length: readers }, () => openReader(url, `/v2/a/blobs/${digest}`)));
    // The kernel takes some megabytes of each; then nothing moves for a while.
    const looks: number[] = [];
    const stands = () => {
      looks.push(memory.takenBytes);
      return looks.length > 4 && new Set(looks.slice(-4)).size === 1;
    };
    await expect.poll(stands, { interval: 50, timeout: 10_000 }).toBe(true);
    expect(memory.takenBytes).toBeLessThan(readers * 16 * MIB);
    expect(memory.heldBytes).toBeGreaterThan(0);
    expect(memory.mostHeldBytes).toBeLessThanOrEqual(readers * 0.5 * MIB);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => memory.heldBytes).toBe(0);
  });
});

/** Counts the bytes of a driver's readers that are lent at a time, and altogether. */
function countLent(driver: StorageDriver) {
  const memory = { takenBytes: 0, heldBytes: 0, mostHeldBytes: 0 };
  const count = (lent: LentBytes): LentBytes => {
    const { bytes } = lent;
    memory.takenBytes += bytes.length;
    memory.heldBytes += bytes.length;
    memory.mostHeldBytes = Math.max(memory.mostHeldBytes, memory.heldBytes);
    return {
      bytes,
      release: () => {
        memory.heldBytes -= bytes.length;
        lent.release();
      },
    };
  };
  async function* countRuns(runs: LentRuns): LentRuns {
    for await (const run of runs) yield run.map(count);
  }
  const reader: StorageDriver['reader'] = async (...call) => {
    const stream = await driver.reader(...call);
    const runs = takeLentRuns(stream);
    if (runs === undefined) throw new Error('the driver lends nothing');
    return Object.assign(stream, { [lentRunsKey]: () => countRuns(runs) });
  };
  return { counted: wrapDriver(driver, { reader }), memory };
}

/** A client that reads the head of the answer, and nothing after it. */
async function openReader(url: string, path: string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.write(`GET ${path} HTTP/1.1\r\nhost: test\r\n\r\n`);
  await once(socket, 'readable');
  return socket;
}
