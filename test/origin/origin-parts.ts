import { join } from 'node:path';
import { Registry } from 'prom-client';
import { type CaStore, openCaStore } from '../../src/castore/index.ts';
import { systemClock } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { OriginClient } from '../../src/origin/client.ts';
import { type OriginConfig, OriginServer } from '../../src/origin/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { SwarmRecorder } from './swarm-recorder.ts';

// Used by tests and by the processes that they start, so nothing here may need the test runner.

export const TOKEN = 'token-of-the-tests-32-characters';
const MIB = 1024 * 1024;

/** Settings of a test's origin. */
export interface OriginOptions {
  /** Keeps castore and queue; the same folder again is a restart. */
  readonly directory: string;
  readonly backend: StorageDriver;
  readonly port?: number;
  readonly memberPorts?: readonly number[];
  readonly capacityBytes?: number;
  readonly writeBack?: Partial<OriginConfig['writeBack']>;
}

/** A running origin with its parts. */
export interface TestOrigin {
  readonly server: OriginServer;
  readonly client: OriginClient;
  readonly castore: CaStore;
  readonly swarm: SwarmRecorder;
  readonly metrics: Registry;
  readonly url: string;
  /** Ends it, as a clean stop of the program does. */
  stop(): Promise<void>;
}

export function urlOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}

function makeConfig(options: OriginOptions): OriginConfig {
  const { port = 0, memberPorts = [] } = options;
  return {
    listen: { host: '127.0.0.1', port },
    ...(memberPorts.length === 0 ? {} : { selfUrl: urlOf(port) }),
    members: memberPorts.map(urlOf),
    castore: { directory: join(options.directory, 'castore'), capacityBytes: options.capacityBytes ?? 256 * MIB },
    backend: { driver: 'filesystem', parameters: {} },
    writeBack: {
      concurrency: 4,
      replicaDelayMs: 60_000,
      initialBackoffMs: 20,
      maxBackoffMs: 100,
      ...options.writeBack,
    },
  };
}

/** Opens castore and origin; the caller stops it. */
export async function openOrigin(options: OriginOptions): Promise<TestOrigin> {
  const config = makeConfig(options);
  const castore = await openCaStore(config.castore);
  const swarm = new SwarmRecorder();
  const metrics = new Registry();
  let server: OriginServer;
  try {
    server = await OriginServer.start(config, {
      logger: testLogger(),
      metrics,
      clusterToken: TOKEN,
      castore,
      backend: options.backend,
      swarm,
      clock: systemClock,
      random: Math.random,
    });
  } catch (error) {
    await castore.close();
    throw error;
  }
  const url = urlOf(server.port);
  const client = new OriginClient({ baseUrl: url, clusterToken: TOKEN });
  let stopped: Promise<void> | undefined;
  const end = async () => {
    await client.close();
    await server.close();
    await swarm.close();
    await castore.close();
  };
  const stop = () => {
    stopped ??= end();
    return stopped;
  };
  return { server, client, castore, swarm, metrics, url, stop };
}
