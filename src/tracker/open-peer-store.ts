import type { Logger } from 'pino';
import { type Clock, ConfigError } from '../core/index.ts';
import type { PeerStoreConfig } from './config.ts';
import { MemoryPeerStore } from './memory-peer-store.ts';
import type { PeerStore } from './peer-store.ts';
import type { Random } from './random-sample.ts';
import { RedisPeerStore } from './redis-peer-store.ts';

/**
 * Opens the peer store that the configuration asks for; the caller closes it. One in Redis opens also while Redis is away.
 * @throws ConfigError when `type: redis` has no `url`
 */
export async function openPeerStore(
  config: PeerStoreConfig,
  deps: { readonly clock: Clock; readonly random: Random; readonly logger: Logger },
): Promise<PeerStore> {
  const { type, url, keyPrefix, maxEntries } = config;
  if (type === 'memory') return new MemoryPeerStore({ ...deps, maxEntries });
  if (url === undefined) {
    throw new ConfigError('peerStore.url is missing: peerStore.type is "redis", expected redis://host:port');
  }
  return RedisPeerStore.open({ url, keyPrefix, logger: deps.logger });
}
