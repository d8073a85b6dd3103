import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hexOf } from '../../src/core/index.ts';
import { hasPrograms, run } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { pullBlob, pushBlob } from './registry-requests.ts';
import { TestCluster } from './test-cluster.ts';

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasPrograms('aria2c'))(
  'aria2c, with the .torrent that the tracker serves',
  { timeout: 120_000 },
  () => {
    it('fetches a blob from the agents', async () => {
      const cluster = await TestCluster.start({ agents: 2 });
      onTestFinished(() => cluster.stop());
      const blob = randomBytes(5_000_000);
      const digest = await pushBlob(cluster.proxy.url, 'team/foreign', blob);
      for (const agent of cluster.agents) await pullBlob(agent.url, 'team/foreign', digest);
      // Only agents are left to fetch it from.
      for (const origin of cluster.origins) await origin.kill();
      const headers = cluster.authorization;
      const torrent = await fetch(`${cluster.tracker.url}/v1/blobs/${digest}/torrent`, { headers });
      expect(torrent.status).toBe(200);
      const directory = await makeTempDir();
      const file = join(directory, 'blob.torrent');
      await writeFile(file, Buffer.from(await torrent.arrayBuffer()));
      await run(
        'aria2c',
        [
          '--dir',
          directory,
          '--seed-time=0',
          '--enable-dht=false',
          '--bt-enable-lpd=false',
          '--bt-tracker-interval=1',
          file,
        ],
        { timeoutMs: 100_000 },
      );
      expect((await readFile(join(directory, hexOf(digest)))).equals(blob)).toBe(true);
    });
  },
);
