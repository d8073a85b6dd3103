import { type StorageDriver, validated } from '../index.ts';
import type { P2pDriverDeps } from './handlers.ts';
import { P2pDriver } from './p2p-driver.ts';
import { ReadOnlyDriver } from './read-only-driver.ts';

/** What a read-only driver works with. */
export interface ReadOnlyP2pDriverDeps extends P2pDriverDeps {
  /** The proxy's address, as refusals of writes name it. */
  readonly proxyHint?: string;
}

/** A driver for a proxy: pushes go to the cluster, reads come from it. Closing it closes nothing of `deps`. */
export function newReadWriteStorageDriver(deps: P2pDriverDeps): StorageDriver {
  return validated(new P2pDriver(deps));
}

/** A driver for an agent: every write throws `ReadOnlyError`. Closing it closes nothing of `deps`. */
export function newReadOnlyStorageDriver(deps: ReadOnlyP2pDriverDeps): StorageDriver {
  return new ReadOnlyDriver(validated(new P2pDriver(deps)), deps.proxyHint);
}

/** Either driver, chosen by a configuration: `ro` for agents, `rw` for proxies. */
export type P2pDriverOptions = ReadOnlyP2pDriverDeps & { readonly constructor: 'rw' | 'ro' };

/** Makes the driver that the options name; the command line registers it under `p2p`. */
export function createP2pDriver(options: P2pDriverOptions): StorageDriver {
  return options.constructor === 'rw' ? newReadWriteStorageDriver(options) : newReadOnlyStorageDriver(options);
}
