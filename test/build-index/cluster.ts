import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { Registry } from 'prom-client';
import { onTestFinished } from 'vitest';
import { BuildIndexClient } from '../../src/build-index/client.ts';
import { BuildIndexServer } from '../../src/build-index/index.ts';
import {
  BlobNotFoundError,
  type Digest,
  hashBytes,
  mediaTypes,
  parseDigest,
  type Repository,
  UnavailableError,
} from '../../src/core/index.ts';
import { defaultDriverFactory, type StorageDriver } from '../../src/driver/index.ts';
import { createService, listen } from '../../src/http/index.ts';
import { OriginCluster } from '../../src/origin/client.ts';
import { testLogger } from '../helpers/logger.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

export const CLUSTER_TOKEN = 'a-cluster-token-for-tests-only-0123456789';

/** A stand-in for the origins: serves `stat` and the bytes of what is in `blobs`, over a real socket. */
export interface TestOrigin {
  readonly baseUrl: string;
  readonly blobs: Map<Digest, Buffer>;
  /** Requests so far, as `GET <path>`. */
  readonly requests: string[];
  /** While set, every request is answered with this error. */
  failure: Error | undefined;
  /** While set, bodies break off in the middle. */
  breakBodies: boolean;
  close(): Promise<void>;
}

export async function startOrigin(): Promise<TestOrigin> {
  const app = createService({
    role: 'origin',
    clusterToken: CLUSTER_TOKEN,
    logger: testLogger(),
    metrics: new Registry(),
    ready: async () => {},
  });
  const blobs = new Map<Digest, Buffer>();
  const origin = { baseUrl: '', blobs, requests: [] as string[], failure: undefined, breakBodies: false } as {
    -readonly [K in keyof Omit<TestOrigin, 'close'>]: TestOrigin[K];
  };
  const find = (url: string, digest: string): Buffer => {
    origin.requests.push(`GET ${url}`);
    if (origin.failure !== undefined) throw origin.failure;
    const bytes = blobs.get(parseDigest(digest));
    if (bytes === undefined) throw new BlobNotFoundError(`${digest} is not here`);
    return bytes;
  };
  app.get<{ Params: { digest: string } }>('/v1/blobs/:digest/stat', async (request) => {
    return { sizeBytes: find(request.url, request.params.digest).length };
  });
  app.get<{ Params: { digest: string } }>('/v1/blobs/:digest', async (request, reply) => {
    const bytes = find(request.url, request.params.digest);
    reply.header('content-length', bytes.length);
    return reply.send(origin.breakBodies ? halfOf(bytes) : bytes);
  });
  const port = await listen(app, 'origin', { host: '127.0.0.1', port: 0 });
  onTestFinished(() => app.close());
  return Object.assign(origin, { baseUrl: `http://127.0.0.1:${port}`, close: () => app.close() });
}

function halfOf(bytes: Buffer): Readable {
  return Readable.from(
    (async function* () {
      yield bytes.subarray(0, bytes.length / 2);
      throw new Error('the disk has gone');
    })(),
  );
}

/** A build-index of its own on a free port, with its backend, a stand-in origin and a client. */
export interface TestBuildIndex {
  readonly client: BuildIndexClient;
  readonly baseUrl: string;
  readonly backend: StorageDriver;
  /** Where `backend` keeps its files. */
  readonly rootdirectory: string;
  readonly origin: TestOrigin;
  readonly metrics: Registry;
  readonly server: BuildIndexServer;
}

export async function startBuildIndex(
  options: {
    rootdirectory?: string;
    wrap?: (driver: StorageDriver) => StorageDriver;
    indexes?: 'strict' | 'lenient';
  } = {},
): Promise<TestBuildIndex> {
  const rootdirectory = options.rootdirectory ?? (await makeTempDir());
  const driver = await defaultDriverFactory().create('filesystem', { rootdirectory });
  onTestFinished(() => driver.close());
  const backend = options.wrap?.(driver) ?? driver;
  const origin = await startOrigin();
  const origins = new OriginCluster({ baseUrls: [origin.baseUrl], clusterToken: CLUSTER_TOKEN });
  onTestFinished(() => origins.close());
  const metrics = new Registry();
  const server = await BuildIndexServer.start(
    {
      listen: { host: '127.0.0.1', port: 0 },
      backend: { driver: 'filesystem', parameters: {} },
      origins: [],
      indexes: options.indexes ?? 'strict',
    },
    { logger: testLogger(), metrics, clusterToken: CLUSTER_TOKEN, backend, origins },
  );
  onTestFinished(() => server.close());
  const baseUrl = `http://127.0.0.1:${server.port}`;
  const client = new BuildIndexClient({ baseUrl, clusterToken: CLUSTER_TOKEN });
  onTestFinished(() => client.close());
  return { client, baseUrl, backend: driver, rootdirectory, origin, metrics, server };
}

/** A driver whose every call fails while `down` is true, as a backend does that cannot be reached. */
export function breakable(state: { down: boolean; error?: () => Error }): (driver: StorageDriver) => StorageDriver {
  const failure = () => state.error?.() ?? new UnavailableError('the bucket does not answer');
  return (driver) =>
    new Proxy(driver, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        if (key === 'list' || key === 'walk') {
          return async function* (...args: unknown[]) {
            if (state.down) throw failure();
            yield* value.apply(target, args) as AsyncIterable<unknown>;
          };
        }
        return async (...args: unknown[]) => {
          if (state.down) throw failure();
          return value.apply(target, args);
        };
      },
    });
}

/** Puts bytes into the stand-in origin. */
export function addBlob(origin: TestOrigin, bytes: Buffer | string): Digest {
  const buffer = Buffer.from(bytes);
  const digest = hashBytes(buffer);
  origin.blobs.set(digest, buffer);
  return digest;
}

/** An image whose blobs are known to the origin; nothing of it is linked. */
export interface TestImage {
  readonly manifest: Digest;
  readonly config: Digest;
  readonly layers: readonly Digest[];
  readonly bytes: Buffer;
}

export function addImage(
  origin: TestOrigin,
  name: string,
  options: { subject?: Digest; layers?: number } = {},
): TestImage {
  const descriptor = (mediaType: string, digest: Digest) => {
    return { mediaType, digest, size: origin.blobs.get(digest)?.length ?? 1 };
  };
  const config = addBlob(origin, `{"name":${JSON.stringify(name)}}`);
  const layers = Array.from({ length: options.layers ?? 2 }, (_, index) =>
    addBlob(origin, `layer ${index} of ${name}`),
  );
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: descriptor(mediaTypes.ociConfig, config),
      layers: layers.map((digest) => descriptor(mediaTypes.ociLayerTarGzip, digest)),
      ...(options.subject === undefined ? {} : { subject: descriptor(mediaTypes.ociManifest, options.subject) }),
    }),
  );
  return { manifest: addBlob(origin, bytes), config, layers, bytes };
}

/** An index over manifests. */
export function addIndex(origin: TestOrigin, children: readonly Digest[]): Digest {
  const manifests = children.map((digest) => {
    return { mediaType: mediaTypes.ociManifest, digest, size: origin.blobs.get(digest)?.length ?? 1 };
  });
  return addBlob(origin, JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
}

/** Links everything of an image, as a push does before it sets the tag. */
export async function linkImage(client: BuildIndexClient, repository: Repository, image: TestImage): Promise<void> {
  for (const digest of [image.config, ...image.layers]) await client.link(repository, 'layer', digest);
  await client.link(repository, 'revision', image.manifest);
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

/** Writes many small files straight to the disk of a backend, as another registry has left them. */
export async function plantFiles(rootdirectory: string, paths: readonly string[], content: string): Promise<void> {
  for (const path of paths) {
    const file = join(rootdirectory, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
  }
}
