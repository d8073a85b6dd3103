import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeDemoImage } from '../../src/cli/up/demo-image.ts';
import { imageBytes } from '../../src/cli/up/image.ts';
import { parseImageLocation } from '../../src/cli/up/image-location.ts';
import { openImage } from '../../src/cli/up/image-source.ts';
import { RegistryClient } from '../../src/cli/up/registry-client.ts';
import { pullImage, pushImage } from '../../src/cli/up/transfer-image.ts';
import { hashBytes, hexOf, mediaTypes, parseRepository, parseTag } from '../../src/core/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { startMemoryRegistry } from './registry-server.ts';

const MIB = 1024 ** 2;

function clientOf(url: string): RegistryClient {
  const client = new RegistryClient({ url });
  onTestFinished(() => client.close());
  return client;
}

async function startServer(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

describe('pushImage and pullImage', () => {
  it('move an image, and tell every byte once', async () => {
    const client = clientOf(await startMemoryRegistry());
    // Larger than one chunk of an upload, so that a layer goes in several.
    const image = await makeDemoImage({ repository: 'shoal/demo', seed: 'seed', sizeBytes: 90 * MIB });
    let pushed = 0;
    await pushImage(client, image, (bytes) => {
      pushed += bytes;
    });
    let pulled = 0;
    const request = { repository: image.repository, tag: image.tag, digest: image.manifest.digest };
    const bytes = await pullImage(client, request, (count) => {
      pulled += count;
    });
    expect([pushed, pulled, bytes]).toEqual([imageBytes(image), imageBytes(image), imageBytes(image)]);
  });

  it('push a second time without sending the blobs again', async () => {
    const url = await startMemoryRegistry();
    const image = await makeDemoImage({ repository: 'shoal/demo', seed: 'seed', sizeBytes: MIB });
    await pushImage(clientOf(url), image, () => {});
    let opened = 0;
    const blobs = image.blobs.map((blob) => ({
      ...blob,
      open: () => {
        opened++;
        return blob.open();
      },
    }));
    await pushImage(clientOf(url), { ...image, blobs }, () => {});
    expect(opened).toBe(0);
  });

  it('refuse a tag that points at another manifest', async () => {
    const client = clientOf(await startMemoryRegistry());
    const image = await makeDemoImage({ repository: 'shoal/demo', seed: 'seed', sizeBytes: MIB });
    await pushImage(client, image, () => {});
    const request = { repository: image.repository, tag: image.tag, digest: hashBytes(Buffer.from('another')) };
    await expect(pullImage(client, request, () => {})).rejects.toThrow(/has the digest sha256:.*, expected sha256:/);
  });

  it.each([
    { name: 'other bytes', send: (bytes: Buffer) => Buffer.from(bytes).fill(1, 0, 1) },
    { name: 'too few bytes', send: (bytes: Buffer) => bytes.subarray(1) },
    { name: 'too many bytes', send: (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('x')]) },
  ])('refuse a blob that comes with $name', async ({ send }) => {
    const blob = Buffer.from('the bytes of a config');
    const descriptor = { mediaType: mediaTypes.ociConfig, digest: hashBytes(blob), size: blob.length };
    const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, config: descriptor, layers: [] }));
    const url = await startServer((request, response) => {
      if (request.url?.includes('/manifests/') === true) response.end(manifest);
      else response.end(send(blob));
    });
    const request = { repository: parseRepository('a'), tag: parseTag('v1'), digest: hashBytes(manifest) };
    await expect(pullImage(clientOf(url), request, () => {})).rejects.toThrow(/came as \d+ bytes with digest/);
  });

  it('say what was asked and answered when a registry refuses', async () => {
    const url = await startServer((_request, response) =>
      response.writeHead(503).end('{"errors":[{"code":"TOOBUSY"}]}'),
    );
    await expect(clientOf(url).pullManifest('a', 'v1')).rejects.toThrow(
      `GET ${url}/v2/a/manifests/v1 was answered 503: {"errors":[{"code":"TOOBUSY"}]}`,
    );
  });

  it('say so when nobody answers', async () => {
    await expect(clientOf('http://127.0.0.1:1').pullManifest('a', 'v1')).rejects.toThrow(
      /GET http:\/\/127\.0\.0\.1:1\/v2\/a\/manifests\/v1 got no answer: /,
    );
  });
});

describe('RegistryClient', () => {
  it('gets an anonymous token when the registry asks for one, once', async () => {
    const manifest = Buffer.from('{"schemaVersion":2}');
    const asked: string[] = [];
    const url = await startServer((request, response) => {
      asked.push(request.url ?? '');
      if (request.url?.startsWith('/token') === true) response.end('{"token":"t0k"}');
      else if (request.headers.authorization === 'Bearer t0k') response.end(manifest);
      else {
        const challenge = `Bearer realm="http://${request.headers.host}/token",service="r",scope="repository:a/b:pull"`;
        response.writeHead(401, { 'www-authenticate': challenge }).end();
      }
    });
    const client = clientOf(url);
    expect((await client.pullManifest('a/b', 'v1')).digest).toBe(hashBytes(manifest));
    await client.pullManifest('a/b', 'v2');
    expect(asked).toEqual([
      '/v2/a/b/manifests/v1',
      '/token?service=r&scope=repository%3Aa%2Fb%3Apull',
      '/v2/a/b/manifests/v1',
      '/v2/a/b/manifests/v2',
    ]);
  });

  it('says so when a login is needed', async () => {
    const url = await startServer((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    await expect(clientOf(url).pullManifest('a', 'v1')).rejects.toThrow(/was answered 401: it asks for a login/);
  });

  it('follows a redirect to storage without taking the token along', async () => {
    const seen: (string | undefined)[] = [];
    const storage = await startServer((request, response) => {
      seen.push(request.headers.authorization);
      response.end('bytes');
    });
    const url = await startServer((request, response) => {
      if (request.url?.startsWith('/token') === true) response.end('{"access_token":"t"}');
      else if (request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${request.headers.host}/token"` }).end();
      } else response.writeHead(307, { location: `${storage}/somewhere?signed=1` }).end();
    });
    const body = await clientOf(url).pullBlob('a', hashBytes(Buffer.from('bytes')));
    expect(Buffer.concat(await body.toArray()).toString()).toBe('bytes');
    expect(seen).toEqual([undefined]);
  });

  it('gives up on redirects that lead in a circle', async () => {
    const url = await startServer((request, response) => response.writeHead(302, { location: request.url }).end());
    await expect(clientOf(url).pullBlob('a', hashBytes(Buffer.from('x')))).rejects.toThrow(/redirected too often/);
  });
});

describe('openImage', () => {
  it('copies an image from another registry, by tag and through an index', async () => {
    const url = await startMemoryRegistry();
    const demo = await makeDemoImage({ repository: 'team/app', seed: 'v1', sizeBytes: MIB });
    await pushImage(clientOf(url), demo, () => {});
    const index = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [
        {
          mediaType: demo.manifest.mediaType,
          digest: demo.manifest.digest,
          size: demo.manifest.bytes.length,
          platform: { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch },
        },
      ],
    };
    const bytes = Buffer.from(JSON.stringify(index));
    const entry = { bytes, mediaType: mediaTypes.ociIndex, digest: hashBytes(bytes) };
    await clientOf(url).pushManifest('team/app', 'multi', entry);
    for (const reference of ['v1', 'multi']) {
      const image = await openImage(parseImageLocation(`docker://${new URL(url).host}/team/app:${reference}`));
      onTestFinished(() => image.close());
      expect(image.manifest.digest).toBe(demo.manifest.digest);
      expect(image.tag).toBe(reference);
      const target = clientOf(await startMemoryRegistry());
      await pushImage(target, image, () => {});
      const request = { repository: image.repository, tag: image.tag, digest: image.manifest.digest };
      expect(await pullImage(target, request, () => {})).toBe(imageBytes(demo));
    }
  });

  it('opens an OCI layout folder by its tag', async () => {
    const demo = await makeDemoImage({ repository: 'a', seed: 'v7', sizeBytes: MIB });
    const folder = join(await makeTempDir(), 'App');
    await mkdir(join(folder, 'blobs/sha256'), { recursive: true });
    for (const blob of demo.blobs) {
      await writeFile(join(folder, 'blobs/sha256', hexOf(blob.digest)), await blob.open());
    }
    const { bytes, digest, mediaType } = demo.manifest;
    await writeFile(join(folder, 'blobs/sha256', hexOf(digest)), bytes);
    const annotations = { 'org.opencontainers.image.ref.name': 'v7' };
    const index = { schemaVersion: 2, manifests: [{ mediaType, digest, size: bytes.length, annotations }] };
    await writeFile(join(folder, 'index.json'), JSON.stringify(index));
    const image = await openImage(parseImageLocation(`oci:${folder}`));
    expect([image.repository, image.tag]).toEqual(['app', 'v7']);
    const client = clientOf(await startMemoryRegistry());
    await pushImage(client, image, () => {});
    expect(await pullImage(client, { ...image, digest }, () => {})).toBe(imageBytes(demo));
    await expect(openImage(parseImageLocation(`oci:${folder}:v8`))).rejects.toThrow(/has no image "v8"; it has: v7/);
  });

  it('says so when a folder is no OCI layout', async () => {
    const folder = await makeTempDir();
    await expect(openImage(parseImageLocation(`oci:${folder}`))).rejects.toThrow(
      /is no OCI layout: cannot read .*index/,
    );
  });
});
