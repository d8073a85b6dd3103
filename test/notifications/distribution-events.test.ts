import { describe, expect, it, onTestFinished } from 'vitest';
import { hasPrograms } from '../helpers/command.ts';
import { DOCKER_REGISTRY, folderStorage, startDockerRegistry } from '../helpers/docker-registry.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { descriptorOf, TestClient } from '../registry/client.ts';
import { folderDriver, serveRegistry } from '../registry/running-registry.ts';
import { type ReceivedEvent, type Receiver, startReceiver } from './receiver.ts';
import { runNotifications } from './running-notifications.ts';

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasPrograms(DOCKER_REGISTRY))('events beside those of distribution', () => {
  it('are the same, field by field, for the same requests', async () => {
    const theirs = await startReceiver();
    const theirClient = await startTelling(theirs);
    const ours = await startReceiver();
    const { sink } = await runNotifications({ endpoints: [{ name: 'a', url: ours.url, includeReferences: true }] });
    const { client: ourClient } = await serveRegistry(await folderDriver(), { events: sink });

    for (const client of [theirClient, ourClient]) await doEverything(client);
    await expect.poll(() => deletedLast(theirs.taken)).toBe(true);
    await expect.poll(() => deletedLast(ours.taken)).toBe(true);
    expect(ours.taken.map(({ action, target }) => [action, target['tag'] ?? target['digest']])).toEqual(
      theirs.taken.map(({ action, target }) => [action, target['tag'] ?? target['digest']]),
    );
    for (const [index, their] of theirs.taken.entries()) {
      const our = ours.taken[index]!;
      expect(comparable(our, ourClient), `event ${index}`).toEqual(comparable(their, theirClient));
      // Order is not meant to matter, but somebody may read the text.
      expect(JSON.stringify(shapeOf(our))).toBe(JSON.stringify(shapeOf(their)));
    }
    expect(Object.keys(JSON.parse(ours.requests[0]!.body))).toEqual(Object.keys(JSON.parse(theirs.requests[0]!.body)));
  });
});

/** What both registries are asked, and tell of alike. */
async function doEverything(client: TestClient): Promise<void> {
  const accept = 'application/vnd.oci.image.manifest.v1+json';
  const image = await client.putImage('team/app', ['v1']);
  const { mediaType, layers } = JSON.parse(image.bytes.toString()) as {
    mediaType: string;
    layers: { digest: string }[];
  };
  const layer = layers[0]!.digest;
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [descriptorOf(mediaType, image.bytes)],
  };
  const statuses = [
    await client.call('GET', `/v2/team/app/blobs/${layer}`),
    await client.call('POST', `/v2/other/app/blobs/uploads/?mount=${layer}&from=team/app`),
    await client.putManifest('team/app', 'all', index),
    await client.call('GET', '/v2/team/app/manifests/v1', { headers: { accept } }),
    await client.call('GET', `/v2/team/app/manifests/${image.digest}`, { headers: { accept } }),
    await client.call('DELETE', `/v2/other/app/blobs/${layer}`),
    await client.call('DELETE', `/v2/team/app/blobs/${layer}`),
  ].map(({ status }) => status);
  expect(statuses).toEqual([200, 201, 201, 200, 200, 202, 202]);
  // An image without tags: distribution tells of each tag that goes with a manifest, too.
  const { digest } = await client.putImage('untagged/app', []);
  expect((await client.call('DELETE', `/v2/untagged/app/manifests/${digest}`)).status).toBe(202);
}

function deletedLast(events: readonly ReceivedEvent[]): boolean {
  const last = events.at(-1);
  return last?.action === 'delete' && last.target['repository'] === 'untagged/app';
}

/** An event with everything that differs by nature replaced by what it is, once that was checked. */
function comparable(event: ReceivedEvent, { url }: TestClient): unknown {
  const { host } = new URL(url);
  expect(event.id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  expect(event.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/);
  expect(event.request['id']).toEqual(expect.any(String));
  expect(event.request['addr']).toMatch(/^127\.0\.0\.1:\d+$/);
  expect(event.request['host']).toBe(host);
  expect(event.source['addr']).toMatch(/^[^:]+:\d+$/);
  expect(event.source['instanceID']).toEqual(expect.any(String));
  const target = { ...event.target };
  if (typeof target['url'] === 'string') target['url'] = target['url'].replace(`http://${host}/`, 'http://HOST/');
  // Told for pushes only: a pull does not read what the manifest consists of.
  if (event.action === 'pull') delete target['references'];
  const { method, useragent } = event.request;
  return { action: event.action, target, method, useragent, actor: event.actor, keys: Object.keys(event) };
}

/** Keys and types, in the order in which they stand. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf);
  if (typeof value !== 'object' || value === null) return typeof value;
  const entries = Object.entries(value).filter(([key]) => key !== 'references');
  return Object.fromEntries(entries.map(([key, entry]) => [key, shapeOf(entry)]));
}

/** Debian's distribution on a folder of its own, which tells a receiver; it ends with the test. */
async function startTelling(receiver: Receiver): Promise<TestClient> {
  const endpoint = { name: 'test', url: receiver.url, timeout: '5s', threshold: 5, backoff: '1s' };
  const notifications = { events: { includereferences: true }, endpoints: [endpoint] };
  const sections = { notifications, http: { relativeurls: false } };
  const { url, stop } = await startDockerRegistry(folderStorage(await makeTempDir()), sections);
  onTestFinished(stop);
  return new TestClient(url);
}
