import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Registry } from 'prom-client';
import { onTestFinished } from 'vitest';
import { type Digest, hashBytes } from '../../src/core/index.ts';
import { defaultDriverFactory, type StorageDriver } from '../../src/driver/index.ts';
import type { UploadSource } from '../../src/origin/client.ts';
import { type OriginOptions, openOrigin, type TestOrigin } from './origin-parts.ts';

/** A blob of a test. */
export interface TestBlob {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly source: UploadSource;
}

export function makeBlob(sizeBytes: number): TestBlob {
  return blobOf(randomBytes(sizeBytes));
}

export function blobOf(bytes: Buffer): TestBlob {
  const source = { sizeBytes: bytes.length, open: async () => Readable.from([bytes]) };
  return { bytes, digest: hashBytes(bytes), source };
}

/** Opens a filesystem backend; closed when the test is over. */
export async function openBackend(directory: string): Promise<StorageDriver> {
  const driver = await defaultDriverFactory().create('filesystem', { rootdirectory: directory });
  onTestFinished(() => driver.close());
  return driver;
}

/** Where a blob lies below the root directory of a filesystem backend, as distribution has it. */
export function backendPath(root: string, digest: Digest, file = 'data'): string {
  const [algorithm, hex] = digest.split(':') as [string, string];
  return join(root, 'docker/registry/v2/blobs', algorithm, hex.slice(0, 2), hex, file);
}

/** TCP ports of 127.0.0.1 that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

/** Waits until a condition holds; fails after twenty seconds. */
export async function until(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  const endMs = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Starts an origin; it is stopped when the test is over. */
export async function startOrigin(options: OriginOptions): Promise<TestOrigin> {
  const origin = await openOrigin(options);
  onTestFinished(origin.stop);
  return origin;
}

/** Starts origins that know each other, on one backend, each with a folder `origin-<n>` in `directory`. */
export async function startOrigins(
  count: number,
  options: Omit<OriginOptions, 'port' | 'memberPorts'>,
): Promise<{ readonly origins: TestOrigin[]; readonly ports: number[] }> {
  const ports = await freePorts(count);
  const origins: TestOrigin[] = [];
  for (const [index, port] of ports.entries()) {
    const directory = join(options.directory, `origin-${index}`);
    origins.push(await startOrigin({ ...options, directory, port, memberPorts: ports }));
  }
  return { origins, ports };
}

/** The value of one metric; 0 when it has none with these labels. */
export async function metricOf(
  registry: Registry,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const metric = await registry.getSingleMetric(name)?.get();
  const matching = (metric?.values ?? []).filter((value) =>
    Object.entries(labels).every(([key, label]) => (value.labels as Record<string, unknown>)[key] === label),
  );
  return matching.reduce((sum, value) => sum + value.value, 0);
}

/** How many blobs wait for their write-back. */
export function queueLength(origin: TestOrigin): Promise<number> {
  return metricOf(origin.metrics, 'shoal_origin_write_back_queue');
}

/** The bytes of a blob as an origin serves them over HTTP. */
export async function readBlob(origin: TestOrigin, digest: Digest): Promise<Buffer> {
  const stream = await origin.client.open(digest, undefined);
  return Buffer.concat(await stream.toArray());
}
