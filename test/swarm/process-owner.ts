/** Starts a peer process, tells its process id, and waits to be killed. */
import { join } from 'node:path';
import { Value } from 'typebox/value';
import { openCaStore } from '../../src/castore/index.ts';
import { type SwarmConfig, SwarmConfigSchema } from '../../src/swarm/index.ts';
import { PeerProcess } from '../../src/swarm/process/peer-process.ts';
import { testLogger } from '../helpers/logger.ts';

const config = Value.Default(SwarmConfigSchema, { processes: 0 }) as SwarmConfig;
const castore = await openCaStore({ directory: join(process.argv[2]!, 'castore'), capacityBytes: 2 ** 20 });
const peer = await PeerProcess.start({
  settings: { config, secret: 'a secret of the tests', origin: false, logLevel: 'silent', memoryBytes: 2 ** 23 },
  castore,
  announcer: { announce: async () => ({ intervalMs: 60_000, swarms: {} }) },
  logger: testLogger(),
  onIdle: () => undefined,
  onEnded: () => undefined,
});
process.send?.(peer.pid);
