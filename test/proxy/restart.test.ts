import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { TestCluster } from '../cluster/test-cluster.ts';
import { bytesOf, TestClient } from '../registry/client.ts';

/** Other tests may have the machine busy. */
const soon = { timeout: 10_000 };

const blob = bytesOf('proxy restart', 900_000);
const digest = hashBytes(blob);

describe('two proxies of a real cluster', () => {
  let cluster: TestCluster;
  let clients: TestClient[];

  beforeAll(async () => {
    cluster = await TestCluster.start({ agents: 0, origins: 1, proxies: 2 });
    clients = cluster.proxies.map(({ url }) => new TestClient(url));
  });
  afterAll(() => cluster?.stop());

  it('go on with an upload after every request and in the middle of one, whichever is killed', async () => {
    const [holder, other] = cluster.proxies;
    const [atHolder, atOther] = clients as [TestClient, TestClient];
    const location = await atHolder.begin('team/app');
    const at = async (client: TestClient) => (await client.call('GET', location)).headers.get('range');
    const patch = (client: TestClient, from: number, to: number) => {
      const headers = { 'content-range': `${from}-${to - 1}` };
      return client.call('PATCH', location, { body: blob.subarray(from, to), headers });
    };
    await holder!.kill();
    const away = await patch(atOther, 0, 200_000);
    expect([away.status, ...away.codes, away.headers.get('retry-after')]).toEqual([503, 'UNAVAILABLE', '5']);
    await holder!.start();
    expect((await patch(atOther, 0, 200_000)).status).toBe(202);

    // In the middle of a chunk through the other one: the holder dies, and has what came.
    const cut = atOther.open('PATCH', location, { 'transfer-encoding': 'chunked' });
    cut.on('error', () => undefined).write(blob.subarray(200_000, 400_000));
    await expect.poll(() => at(atHolder), soon).toBe('0-399999');
    await holder!.kill();
    await holder!.start();
    await expect.poll(() => at(atOther), soon).toBe('0-399999');

    // The other one dies in the middle: the holder keeps what came.
    const half = atOther.open('PATCH', location, { 'transfer-encoding': 'chunked' });
    half.on('error', () => undefined).write(blob.subarray(400_000, 600_000));
    await expect.poll(() => at(atHolder), soon).toBe('0-599999');
    await other!.kill();
    await expect.poll(async () => (await patch(atHolder, 600_000, 700_000)).status, soon).toBe(202);
    await other!.start();

    await holder!.kill();
    await holder!.start();
    const headers = { 'content-range': `700000-${blob.length - 1}` };
    const put = await atOther.call('PUT', `${location}?digest=${digest}`, { body: blob.subarray(700_000), headers });
    expect(put.status).toBe(201);
    for (const client of clients) {
      expect((await client.call('GET', `/v2/team/app/blobs/${digest}`)).body.equals(blob)).toBe(true);
    }
  }, 120_000);
});
