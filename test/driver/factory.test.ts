import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/core/index.ts';
import {
  DriverFactory,
  defaultDriverFactory,
  InvalidPathError,
  knownDrivers,
  readParameters,
  renderParameterTable,
} from '../../src/driver/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { FaultyDriver } from './faulty-driver.ts';

async function errorOf(result: Promise<unknown>): Promise<unknown> {
  return result.catch((error: unknown) => error);
}

describe('DriverFactory', () => {
  it('knows the drivers for ordinary storage by default', () => {
    expect(defaultDriverFactory().names()).toEqual(['azure', 'filesystem', 'gcs', 'inmemory', 'ipc', 's3']);
    expect(new DriverFactory().names()).toEqual([]);
  });

  it('names the known drivers when asked for another', async () => {
    const error = await errorOf(defaultDriverFactory().create('s33', {}));
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toContain('"s33" is not known; expected one of azure, filesystem, gcs, inmemory, ipc, s3');
    expect(String(error)).toContain('or ipc:NAME for a program registry-storage-NAME on the PATH');
  });

  it('hands the parameters to the driver and wraps what it makes', async () => {
    const factory = new DriverFactory();
    let given: unknown;
    factory.register('mine', async (parameters) => {
      given = parameters;
      return new FaultyDriver();
    });
    const driver = await factory.create('mine', { key: 'value' });
    expect(given).toEqual({ key: 'value' });
    await expect(driver.getContent('no path')).rejects.toBeInstanceOf(InvalidPathError);
  });

  it('refuses a name that is taken, and one that is none', () => {
    const factory = defaultDriverFactory();
    const create = async () => new FaultyDriver();
    expect(() => factory.register('filesystem', create)).toThrow('registered already');
    for (const name of ['', 'S3', 'a-b', 'a b']) expect(() => factory.register(name, create)).toThrow(ConfigError);
  });

  it('opens the drivers it knows', async () => {
    const rootdirectory = join(await makeTempDir(), 'made', 'on', 'demand');
    for (const [name, parameters] of Object.entries({ inmemory: {}, filesystem: { rootdirectory } })) {
      await using driver = await defaultDriverFactory().create(name, parameters);
      expect(driver.name).toBe(name);
      await driver.putContent('/a', Buffer.from(name));
      expect((await driver.getContent('/a')).toString()).toBe(name);
    }
  });

  it('shows no secret of a parameter that is wrong', async () => {
    const factory = defaultDriverFactory();
    const s3 = { bucket: 'b', region: 'r', accesskey: 'id', secretkey: 48151623 };
    await expect(factory.create('s3', s3)).rejects.toThrow(/"secretkey" .*got a secret that is of type number/);
    await expect(factory.create('s3', s3)).rejects.not.toThrow(/48151623/);
    const azure = { container: 'c', serviceurl: 'no url?sig=hidden', sastoken: 'sig=hidden' };
    await expect(factory.create('azure', azure)).rejects.toThrow('got "no url?…"');
    await expect(factory.create('azure', azure)).rejects.not.toThrow(/hidden/);
  });

  it('reports all faults of the parameters together', async () => {
    const error = await errorOf(
      defaultDriverFactory().create('filesystem', { maxconcurrency: 'many', rootdir: '/somewhere' }),
    );
    expect(error).toBeInstanceOf(ConfigError);
    const { faults } = (error as ConfigError).details;
    expect(faults).toEqual([
      'storage driver filesystem: unknown parameter "rootdir", expected rootdirectory, maxconcurrency',
      expect.stringContaining('storage driver filesystem: parameter "rootdirectory" is missing, expected string'),
      expect.stringContaining('parameter "maxconcurrency" must be integer, expected integer (calls to the file system'),
    ]);
    for (const fault of faults as string[]) expect(String(error)).toContain(fault);
  });
});

describe('the documentation of drivers', () => {
  it('has a section for each, and a row for each parameter with what it is for', async () => {
    const page = (name: string) => readFile(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
    const [drivers, parameters] = await Promise.all([page('drivers.md'), page('driver-parameters.md')]);
    for (const [name, known] of knownDrivers) {
      expect(drivers).toMatch(new RegExp(`^### ${name}$`, 'm'));
      const table = renderParameterTable(known.parameters);
      expect(parameters).toContain(table);
      for (const row of table.split('\n').slice(2)) expect(row).not.toMatch(/\| *\|$/);
    }
  });
});

describe('readParameters', () => {
  const schema = Type.Object(
    { count: Type.Integer({ minimum: 1, default: 5 }), on: Type.Optional(Type.Boolean()), name: Type.String() },
    { additionalProperties: false },
  );

  it.each([
    [{ name: 'n' }, { count: 5, name: 'n' }],
    [
      { name: 'n', count: 7 },
      { count: 7, name: 'n' },
    ],
    [
      { name: 'n', count: '7', on: 'true' },
      { count: 7, on: true, name: 'n' },
    ],
    [{ name: '7' }, { count: 5, name: '7' }],
  ])('reads %j', (given, expected) => {
    expect(readParameters('test', schema, given)).toEqual(expected);
  });

  it.each([
    [{}, 'parameter "name" is missing'],
    [{ name: 7 }, 'parameter "name" must be string'],
    [{ name: 'n', count: 0 }, 'parameter "count" must be >= 1'],
    [{ name: 'n', count: '1.5' }, 'parameter "count" must be integer'],
    [{ name: 'n', on: 'perhaps' }, 'parameter "on" must be boolean'],
    [{ name: 'n', other: 1 }, 'unknown parameter "other"'],
    [JSON.parse('{"name": "n", "__proto__": {}}'), 'unknown parameter "__proto__"'],
  ])('refuses %j', (given, reason) => {
    expect(() => readParameters('test', schema, given)).toThrow(reason);
  });
});
