import { afterAll, beforeAll } from 'vitest';
import { registryContract } from '../registry/contract.ts';
import { ClusterClient } from './cluster-client.ts';
import { TestCluster } from './test-cluster.ts';

/**
 * The whole contract of a registry on a cluster: nothing is left out, and nothing stands in for anything. An agent may answer
 * what has been deleted for as long as it remembers a link (`transfer.linkCacheMs`, 5 s by itself), and so may the other
 * proxy; it is off here, because the contract asks right after each deletion. How long it may last is seen in journey.test.ts.
 */
let cluster: TestCluster;
let client: ClusterClient;

beforeAll(async () => {
  const transfer = { linkCacheMs: 0 };
  cluster = await TestCluster.start({ agents: 2, origins: 2, proxies: 2, agent: { transfer }, proxy: { transfer } });
  client = new ClusterClient(
    cluster.proxies.map(({ url }) => url),
    cluster.agents.map(({ url }) => url),
  );
});
afterAll(() => cluster.stop());

registryContract('a cluster', async () => {
  await client.empty();
  return { client };
});
