import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { OriginClient } from '../../src/origin/client.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { backendPath, freePorts, makeBlob, openBackend, queueLength, readBlob, startOrigin, until } from './fixture.ts';
import { makeFlaky } from './flaky-driver.ts';
import type { ChildOptions } from './origin-child.ts';
import { TOKEN, urlOf } from './origin-parts.ts';

/** An origin in a process of its own. */
interface ChildOrigin {
  readonly client: OriginClient;
  /** As `kill -9`, or the loss of power to the process. */
  kill(): Promise<void>;
}

async function startChild(options: ChildOptions & { readonly port: number }): Promise<ChildOrigin> {
  const program = join(import.meta.dirname, 'origin-child.ts');
  const child: ChildProcess = spawn(process.execPath, [program, JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, NODE_NO_WARNINGS: '1' },
  });
  const exited = once(child, 'exit');
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  onTestFinished(kill);
  const listening = once(child.stdout!, 'data');
  await Promise.race([
    listening,
    exited.then(([code]) => Promise.reject(new Error(`the child process ended with ${String(code)}`))),
  ]);
  const client = new OriginClient({ baseUrl: urlOf(options.port), clusterToken: TOKEN });
  onTestFinished(() => client.close());
  return { client, kill };
}

describe('an origin that is killed straight after it has acknowledged', () => {
  it.each([0, 2_000_000])('has the blob of %i bytes and its write-back at the next start', async (size) => {
    const directory = await makeTempDir();
    const backendDirectory = join(directory, 'backend');
    const [port] = (await freePorts(1)) as [number];
    const child = await startChild({ directory, backendDirectory, backendDown: true, port });
    const blob = makeBlob(size);
    await child.client.upload(blob.digest, blob.source, {});
    await child.kill();
    expect(existsSync(backendPath(backendDirectory, blob.digest))).toBe(false);
    const origin = await startOrigin({ directory, backend: await openBackend(backendDirectory), port });
    expect((await readBlob(origin, blob.digest)).equals(blob.bytes)).toBe(true);
    await until('the queue is empty', async () => (await queueLength(origin)) === 0);
    expect((await readFile(backendPath(backendDirectory, blob.digest))).equals(blob.bytes)).toBe(true);
  });

  it('loses nothing though its disk is lost too: the replica writes back, and it gets the blob from there', async () => {
    const directory = await makeTempDir();
    const backendDirectory = join(directory, 'backend');
    const memberPorts = (await freePorts(2)) as [number, number];
    const writeBack = { replicaDelayMs: 0 };
    const { driver, controls } = makeFlaky(await openBackend(backendDirectory));
    controls.down = true;
    const lost = { directory: join(directory, 'lost'), port: memberPorts[0], memberPorts, writeBack };
    const replica = await startOrigin({
      directory: join(directory, 'replica'),
      backend: driver,
      port: memberPorts[1],
      memberPorts,
      writeBack,
    });
    // The backend is down for both at first, so that nobody can have written back before the disk is lost.
    const child = await startChild({ ...lost, backendDirectory, backendDown: true });
    const blob = makeBlob(1_500_000);
    await child.client.upload(blob.digest, blob.source, {});
    await child.kill();
    await rm(lost.directory, { recursive: true });
    controls.down = false;
    await until('the replica has written it back', async () => (await queueLength(replica)) === 0);
    expect((await readFile(backendPath(backendDirectory, blob.digest))).equals(blob.bytes)).toBe(true);
    const again = await startOrigin({ ...lost, backend: await openBackend(backendDirectory) });
    expect((await readBlob(again, blob.digest)).equals(blob.bytes)).toBe(true);
  });

  it('loses nothing though its disk is lost and the backend is down: it gets the blob from the replica', async () => {
    const directory = await makeTempDir();
    const backendDirectory = join(directory, 'backend');
    const { driver, controls } = makeFlaky(await openBackend(backendDirectory));
    controls.down = true;
    const memberPorts = (await freePorts(2)) as [number, number];
    const lost = { directory: join(directory, 'lost'), port: memberPorts[0], memberPorts };
    const replicaOptions = { directory: join(directory, 'replica'), port: memberPorts[1], memberPorts };
    const replica = await startOrigin({ ...replicaOptions, backend: driver });
    const child = await startChild({ ...lost, backendDirectory, backendDown: true });
    const blob = makeBlob(1_500_000);
    await child.client.upload(blob.digest, blob.source, {});
    await child.kill();
    await rm(lost.directory, { recursive: true });
    const again = await startOrigin({ ...lost, backend: driver, writeBack: { replicaDelayMs: 0 } });
    expect(await again.client.stat(blob.digest)).toBe(1_500_000);
    expect((await again.client.metainfo(blob.digest)).length).toBeGreaterThan(0);
    expect((await readBlob(again, blob.digest)).equals(blob.bytes)).toBe(true);
    // From now on there are two copies again, and two jobs: either of the two may be lost.
    expect(await queueLength(again)).toBe(1);
    await replica.stop();
    controls.down = false;
    await until('it has written it back itself', async () => (await queueLength(again)) === 0);
    expect((await readFile(backendPath(backendDirectory, blob.digest))).equals(blob.bytes)).toBe(true);
  });
});

describe('an origin that is killed in the middle', () => {
  it('of an upload has nothing of it at the next start', async () => {
    const directory = await makeTempDir();
    const backendDirectory = join(directory, 'backend');
    const [port] = (await freePorts(1)) as [number];
    const child = await startChild({ directory, backendDirectory, backendDown: false, port });
    const blob = makeBlob(400_000);
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    onTestFinished(() => void socket.destroy());
    socket.write(
      `PUT /v1/blobs/${blob.digest} HTTP/1.1\r\nHost: origin\r\nAuthorization: Bearer ${TOKEN}\r\n` +
        `Content-Length: ${blob.bytes.length}\r\n\r\n`,
    );
    await new Promise((resolve) => socket.write(blob.bytes.subarray(0, 300_000), resolve));
    await child.kill();
    const origin = await startOrigin({ directory, backend: await openBackend(backendDirectory), port });
    expect(await origin.castore.blobs.find(blob.digest)).toBeUndefined();
    expect(origin.castore.usage()).toMatchObject({ blobBytes: 0, unfinishedBytes: 0 });
    expect(await queueLength(origin)).toBe(0);
  });

  it('of many uploads has whole blobs only, each with its job, and all that it acknowledged', async () => {
    const directory = await makeTempDir();
    const backendDirectory = join(directory, 'backend');
    const [port] = (await freePorts(1)) as [number];
    const child = await startChild({ directory, backendDirectory, backendDown: true, port });
    const blobs = Array.from({ length: 40 }, (_, index) => makeBlob(index * 10_000));
    const acknowledged = new Set<string>();
    const enough = Promise.withResolvers<void>();
    const uploads = blobs.map(async ({ digest, source }) => {
      await child.client.upload(digest, source, {});
      acknowledged.add(digest);
      if (acknowledged.size === 10) enough.resolve();
    });
    const ended = Promise.allSettled(uploads);
    await enough.promise;
    await child.kill();
    await ended;
    const backend = await openBackend(backendDirectory);
    const origin = await startOrigin({ directory, backend, port });
    for (const blob of blobs) {
      if ((await origin.castore.blobs.find(blob.digest)) === undefined) {
        expect(acknowledged.has(blob.digest)).toBe(false);
        continue;
      }
      expect((await readBlob(origin, blob.digest)).equals(blob.bytes)).toBe(true);
      await until('it is in the backend', () => existsSync(backendPath(backendDirectory, blob.digest)));
    }
    expect(acknowledged.size).toBeGreaterThanOrEqual(10);
  });
});
