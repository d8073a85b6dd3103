import Type from 'typebox';
import { type DriverFactory, readParameters, type StorageDriver, validated } from '../index.ts';
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

/** Parameters of the driver `p2p`. */
export const P2pParametersSchema = Type.Object(
  {
    constructor: Type.Union([Type.Literal('rw'), Type.Literal('ro')], {
      description: '`rw` for a proxy, which pushes and reads; `ro` for an agent, which reads.',
    }),
  },
  { additionalProperties: false },
);

/**
 * Registers the driver `p2p`, whose parameter `constructor` (`rw` or `ro`) chooses between the two. The factory itself does
 * not know it, because it needs what only a program of a cluster has.
 */
export function registerP2pDriver(factory: DriverFactory, deps: ReadOnlyP2pDriverDeps): void {
  factory.register('p2p', async (parameters) => {
    const { constructor: chosen } = readParameters('p2p', P2pParametersSchema, parameters);
    return chosen === 'rw' ? newReadWriteStorageDriver(deps) : newReadOnlyStorageDriver(deps);
  });
}
