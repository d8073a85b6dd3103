import type { TObject } from 'typebox';
import { ConfigError } from '../core/index.ts';
import { AzureParametersSchema, createAzureDriver } from './azure/index.ts';
import { validated } from './base.ts';
import { createFilesystemDriver, FilesystemParametersSchema } from './filesystem/index.ts';
import { createGcsDriver, GcsParametersSchema } from './gcs/index.ts';
import { createInMemoryDriver, InMemoryParametersSchema } from './inmemory/index.ts';
import { createIpcDriver, IpcParametersSchema } from './ipc/index.ts';
import type { DriverParameters } from './parameters.ts';
import { createS3Driver, S3ParametersSchema } from './s3/index.ts';
import type { StorageDriver } from './storage-driver.ts';

/** Opens a driver by its parameters, which it checks itself. @throws ConfigError */
export type CreateDriver = (parameters: DriverParameters) => Promise<StorageDriver>;

// The keys of a configuration: what distribution's drivers are named by.
const driverNamePattern = /^[a-z0-9]+$/;
const ipcPrefix = 'ipc:';

/** Makes storage drivers by name, as a configuration gives them. */
export class DriverFactory {
  readonly #drivers = new Map<string, CreateDriver>();

  /** Adds a driver. @throws ConfigError when the name is taken or is none (lower case letters and digits) */
  register(name: string, create: CreateDriver): void {
    if (!driverNamePattern.test(name)) {
      throw new ConfigError(`storage driver "${name}": a name is made of lower case letters and digits`);
    }
    if (this.#drivers.has(name)) throw new ConfigError(`storage driver "${name}" is registered already`);
    this.#drivers.set(name, create);
  }

  /**
   * Opens a driver, wrapped in {@link validated}; whoever asked for it closes it. `ipc:<name>` is the driver `ipc` with the
   * parameter `name`.
   * @throws ConfigError when no driver has this name, or for the parameters, all faults in one message
   */
  async create(name: string, parameters: DriverParameters): Promise<StorageDriver> {
    if (name.startsWith(ipcPrefix)) {
      if (parameters['name'] !== undefined) throw new ConfigError(`storage driver "${name}" has its name already`);
      return this.create('ipc', { ...parameters, name: name.slice(ipcPrefix.length) });
    }
    const create = this.#drivers.get(name);
    if (create === undefined) {
      const known = this.names();
      const programs = known.includes('ipc')
        ? `, or ${ipcPrefix}NAME for a program registry-storage-NAME on the PATH`
        : '';
      const expected = `${known.join(', ') || '(none)'}${programs}`;
      throw new ConfigError(`storage driver "${name}" is not known; expected one of ${expected}`, {
        driver: name,
        known,
      });
    }
    return validated(await create(parameters));
  }

  /** The names registered, in order. */
  names(): readonly string[] {
    return [...this.#drivers.keys()].sort();
  }
}

/** A driver of this package: how it is opened, and by what. */
interface KnownDriver {
  readonly create: CreateDriver;
  readonly parameters: TObject;
}

/** The drivers for ordinary storage, by name, in the order of their documentation. */
export const knownDrivers: ReadonlyMap<string, KnownDriver> = new Map<string, KnownDriver>([
  ['filesystem', { create: createFilesystemDriver, parameters: FilesystemParametersSchema }],
  ['s3', { create: createS3Driver, parameters: S3ParametersSchema }],
  ['azure', { create: createAzureDriver, parameters: AzureParametersSchema }],
  ['gcs', { create: createGcsDriver, parameters: GcsParametersSchema }],
  ['ipc', { create: createIpcDriver, parameters: IpcParametersSchema }],
  ['inmemory', { create: createInMemoryDriver, parameters: InMemoryParametersSchema }],
]);

/** A factory that knows the drivers of {@link knownDrivers}. More can be registered. */
export function defaultDriverFactory(): DriverFactory {
  const factory = new DriverFactory();
  for (const [name, { create }] of knownDrivers) factory.register(name, create);
  return factory;
}
