import { describe, expect, it, onTestFinished } from 'vitest';
import { startShoal } from '../cli/run-shoal.ts';
import { TestCluster } from './test-cluster.ts';

describe('shoal driver verify p2p', () => {
  it('verifies the drivers of a proxy and an agent on a running cluster', { timeout: 120_000 }, async () => {
    const cluster = await TestCluster.start({ agents: 1 });
    onTestFinished(() => cluster.stop());
    const verify = async (way: string, config: string) => {
      const params = ['--params', `constructor=${way}`, '--params', `config=${config}`];
      const shoal = startShoal(['driver', 'verify', 'p2p', ...params]);
      expect(await shoal.ended, shoal.err() + shoal.out()).toBe(0);
      return shoal.out().trim().split('\n').at(-1);
    };
    expect(await verify('rw', cluster.proxy.configFile)).toBe(
      'p2p, content-addressed profile: 12 passed, 0 failed, 0 skipped',
    );
    expect(await verify('ro', cluster.agents[0]!.configFile)).toBe(
      'p2p, read-only profile: 2 passed, 0 failed, 0 skipped',
    );
  });
});
