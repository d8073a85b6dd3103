import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { IsolatedHost } from './isolated-host.ts';
import { Registries, registryNames } from './registries.ts';
import type { StoredImages } from './stored-images.ts';

const way = 'plain HTTP on loopback';

/** One registry without TLS or logins, on a host with a network of its own; for all tests of a `describe`. */
export class PlainRegistry {
  /** How clients of the host name it. */
  readonly address = registryNames[way];
  #registries: Registries | undefined;
  #directory: string | undefined;

  /** To be called in a `describe`: starts before its tests, and ends after them. */
  static forAllTests(): PlainRegistry {
    const registry = new PlainRegistry();
    beforeAll(async () => {
      registry.#directory = await mkdtemp(join(tmpdir(), 'shoal-test-'));
      registry.#registries = await Registries.start([way]);
    });
    afterAll(async () => {
      await registry.#registries?.[Symbol.asyncDispose]();
      if (registry.#directory !== undefined) await rm(registry.#directory, { recursive: true, force: true });
    });
    return registry;
  }

  /** A folder for what all tests share. */
  get directory(): string {
    if (this.#directory === undefined) throw new Error('the registry is not started before the tests');
    return this.#directory;
  }

  get host(): IsolatedHost {
    return this.#started.host;
  }

  get stored(): StoredImages {
    return this.#started.at(way).stored;
  }

  get #started(): Registries {
    if (this.#registries === undefined) throw new Error('the registry is not started before the tests');
    return this.#registries;
  }
}
