import { describe, expect, it } from 'vitest';
import { type Digest, mediaTypes } from '../../src/core/index.ts';
import type { AccessControl } from '../../src/registry/index.ts';
import { descriptorOf, type TestAnswer } from '../registry/client.ts';
import { folderDriver, serveRegistry } from '../registry/running-registry.ts';
import { type ReceivedEvent, startReceiver } from './receiver.ts';
import { runNotifications } from './running-notifications.ts';

/** A registry on a folder whose receiver has got nothing yet of what was pushed before. */
async function start(access?: AccessControl) {
  const receiver = await startReceiver();
  const endpoints = [{ name: 'a', url: receiver.url, includeReferences: true }];
  const { sink, metric } = await runNotifications({ endpoints });
  const { client, url } = await serveRegistry(await folderDriver(), { events: sink, access });
  let seen = 0;
  /** The events since it was asked last, once as many have come as are expected, and no more. */
  const events = async (count: number): Promise<ReceivedEvent[]> => {
    await expect.poll(() => receiver.taken.length).toBeGreaterThanOrEqual(seen + count);
    await expect.poll(() => metric('pending')).toBe(0);
    const fresh = receiver.taken.slice(seen);
    seen += fresh.length;
    expect(fresh.map(({ action }) => action)).toHaveLength(count);
    return fresh;
  };
  /** One request that is to give one event. */
  const eventOf = async (answer: Promise<TestAnswer>, status: number): Promise<ReceivedEvent> => {
    expect((await answer).status).toBe(status);
    return (await events(1))[0]!;
  };
  return { client, host: new URL(url).host, events, eventOf };
}

async function withImage() {
  const running = await start();
  const image = await running.client.putImage('team/app', ['v1', 'v2']);
  const manifest = JSON.parse(image.bytes.toString()) as { config: Descriptor; layers: Descriptor[] };
  const pushed = await running.events(5);
  return { ...running, image, layer: manifest.layers[0]!, config: manifest.config, pushed };
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

describe('a registry that tells what was done', () => {
  it('tells of an image that is pushed: its blobs, and its manifest with the tag and what it consists of', async () => {
    const { pushed, image, layer, config, host } = await withImage();
    const blob = (descriptor: Descriptor) => ({
      mediaType: mediaTypes.octetStream,
      size: descriptor.size,
      digest: descriptor.digest,
      length: descriptor.size,
      repository: 'team/app',
      url: `http://${host}/v2/team/app/blobs/${descriptor.digest}`,
    });
    const manifest = {
      mediaType: mediaTypes.ociManifest,
      size: image.bytes.length,
      digest: image.digest,
      length: image.bytes.length,
      repository: 'team/app',
      url: `http://${host}/v2/team/app/manifests/${image.digest}`,
      references: [config, layer],
    };
    expect(pushed.map(({ action }) => action)).toEqual(Array(5).fill('push'));
    expect(pushed.map(({ target }) => target)).toEqual([
      blob(config),
      blob(layer),
      manifest,
      { ...manifest, tag: 'v1' },
      { ...manifest, tag: 'v2' },
    ]);
    for (const { request, source, actor, timestamp } of pushed) {
      expect(request).toMatchObject({ host, method: 'PUT', addr: expect.stringMatching(/^127\.0\.0\.1:\d+$/) });
      expect([source, actor]).toEqual([{ addr: 'host.example:5000', instanceID: 'instance-1' }, {}]);
      expect(Math.abs(Date.parse(timestamp) - Date.now())).toBeLessThan(30_000);
    }
  });

  it('tells of a blob that is pushed in one request', async () => {
    const { client, eventOf } = await start();
    const { digest } = descriptorOf('', Buffer.from('blob')) as Descriptor;
    const { action, target, request } = await eventOf(
      client.call('POST', `/v2/a/blobs/uploads/?digest=${digest}`, { body: 'blob' }),
      201,
    );
    expect([action, target['digest'], target['size'], request['method']]).toEqual(['push', digest, 4, 'POST']);
  });

  it('tells of pulls by tag and by digest, and of blobs', async () => {
    const { client, image, layer, eventOf } = await withImage();
    const byTag = await eventOf(client.call('GET', '/v2/team/app/manifests/v1'), 200);
    expect([byTag.action, byTag.target['digest'], byTag.target['tag']]).toEqual(['pull', image.digest, 'v1']);
    const byDigest = await eventOf(client.call('GET', `/v2/team/app/manifests/${image.digest}`), 200);
    expect([byDigest.target['digest'], byDigest.target['mediaType']]).toEqual([image.digest, mediaTypes.ociManifest]);
    expect(byDigest.target).not.toHaveProperty('tag');
    const blob = await eventOf(client.call('GET', `/v2/team/app/blobs/${layer.digest}`), 200);
    expect([blob.action, blob.target['digest'], blob.target['size']]).toEqual(['pull', layer.digest, layer.size]);
  });

  it('tells nothing of questions and of what failed', async () => {
    const { client, image, layer, events } = await withImage();
    const none = `sha256:${'0'.repeat(64)}`;
    const answers = [
      await client.call('HEAD', '/v2/team/app/manifests/v1'),
      await client.call('HEAD', `/v2/team/app/manifests/${image.digest}`),
      await client.call('HEAD', `/v2/team/app/blobs/${layer.digest}`),
      await client.call('GET', '/v2/team/app/tags/list'),
      await client.call('GET', `/v2/team/app/blobs/${layer.digest}`, {
        headers: { 'if-none-match': `"${layer.digest}"` },
      }),
      await client.call('GET', '/v2/team/app/manifests/v9'),
      await client.call('DELETE', `/v2/team/app/blobs/${none}`),
      await client.call('POST', `/v2/other/blobs/uploads/?mount=${none}&from=team/app`),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 304, 404, 404, 202]);
    await client.call('GET', `/v2/team/app/blobs/${layer.digest}`);
    expect((await events(1))[0]!.action).toBe('pull');
  });

  it('tells of a mount, and where it was from', async () => {
    const { client, layer, host, eventOf } = await withImage();
    const mount = client.call('POST', `/v2/other/blobs/uploads/?mount=${layer.digest}&from=team/app`);
    const { action, target } = await eventOf(mount, 201);
    expect([action, target]).toEqual([
      'mount',
      {
        mediaType: mediaTypes.octetStream,
        size: layer.size,
        digest: layer.digest,
        length: layer.size,
        repository: 'other',
        fromRepository: 'team/app',
        url: `http://${host}/v2/other/blobs/${layer.digest}`,
      },
    ]);
  });

  it('tells of deletions of a tag and of a blob', async () => {
    const { client, layer, eventOf } = await withImage();
    const repository = 'team/app';
    const tag = await eventOf(client.call('DELETE', '/v2/team/app/manifests/v1'), 202);
    expect([tag.action, tag.target]).toEqual(['delete', { repository, tag: 'v1' }]);
    const blob = await eventOf(client.call('DELETE', `/v2/team/app/blobs/${layer.digest}`), 202);
    expect([blob.action, blob.target]).toEqual(['delete', { repository, digest: layer.digest }]);
  });

  it('tells of a manifest that is deleted', async () => {
    const { client, image, events } = await withImage();
    await client.call('DELETE', '/v2/team/app/manifests/v1');
    await client.call('DELETE', '/v2/team/app/manifests/v2');
    await client.call('DELETE', `/v2/team/app/manifests/${image.digest}`);
    const deleted = (await events(3)).at(-1)!;
    expect([deleted.action, deleted.target]).toEqual(['delete', { repository: 'team/app', digest: image.digest }]);
  });

  it('tells of a repository that is deleted', async () => {
    const { client, eventOf } = await withImage();
    const deleted = await eventOf(client.call('DELETE', '/v2/team/app/_shoal/repository'), 202);
    expect([deleted.action, deleted.target]).toEqual(['delete', { repository: 'team/app' }]);
  });

  it('names who did it', async () => {
    const access: AccessControl = {
      admit: async (authorization) => ({ name: authorization ?? '', may: () => true, pullsEverything: true }),
    };
    const { client, eventOf } = await start(access);
    const { digest } = descriptorOf('', Buffer.from('blob')) as Descriptor;
    const headers = { authorization: 'alice', 'x-request-id': 'abc', 'user-agent': 'builder/2' };
    const path = `/v2/a/blobs/uploads/?digest=${digest}`;
    const { actor, request } = await eventOf(client.call('POST', path, { body: 'blob', headers }), 201);
    expect([actor, request['useragent']]).toEqual([{ name: 'alice' }, 'builder/2']);
  });
});
