import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import Type from 'typebox';
import { describe, expect, it } from 'vitest';
import { type ConfigOverride, loadConfig } from '../../src/config/index.ts';
import { ConfigError } from '../../src/core/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const closed = { additionalProperties: false } as const;

const schema = Type.Object(
  {
    listen: Type.Object(
      {
        host: Type.String({ default: 'localhost', minLength: 1 }),
        port: Type.Integer({ default: 16000, minimum: 0, maximum: 65535 }),
      },
      closed,
    ),
    castore: Type.Object(
      { directory: Type.String({ minLength: 1 }), capacityBytes: Type.Integer({ default: 1000, minimum: 1 }) },
      closed,
    ),
    origins: Type.Array(Type.String({ pattern: '^https?://' }), { minItems: 1, default: ['http://localhost:15002'] }),
    proxyUrl: Type.Optional(Type.String()),
    peers: Type.Union(
      [
        Type.Object({ type: Type.Literal('memory') }, closed),
        Type.Object({ type: Type.Literal('redis'), url: Type.String() }, closed),
      ],
      { default: { type: 'memory' } },
    ),
    level: Type.Union([Type.Literal('debug'), Type.Literal('info')], { default: 'info' }),
    fast: Type.Boolean({ default: false }),
    backend: Type.Object({
      driver: Type.String({ default: 'filesystem' }),
      parameters: Type.Record(Type.String(), Type.Unknown(), { default: {} }),
    }),
  },
  closed,
);

interface Case {
  readonly name: string;
  readonly yaml?: string;
  readonly environment?: Record<string, string>;
  readonly overrides?: readonly ConfigOverride[];
}

async function load({ yaml, environment, overrides }: Omit<Case, 'name'>) {
  const file = join(await makeTempDir(), 'shoal.yaml');
  await writeFile(file, yaml ?? 'castore: {directory: d}\n');
  try {
    return { config: await loadConfig(schema, { file, environment: environment ?? {}, overrides: overrides ?? [] }) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { faults: error.message.replaceAll(file, 'shoal.yaml').split('\n') };
  }
}

const fine = 'castore: {directory: d}\n';

describe('loadConfig', () => {
  it('fills in every default', async () => {
    expect(await load({})).toEqual({
      config: {
        listen: { host: 'localhost', port: 16000 },
        castore: { directory: 'd', capacityBytes: 1000 },
        origins: ['http://localhost:15002'],
        peers: { type: 'memory' },
        level: 'info',
        fast: false,
        backend: { driver: 'filesystem', parameters: {} },
      },
    });
  });

  const valid: readonly (Case & { readonly has: Record<string, unknown> })[] = [
    {
      name: 'a value of the file',
      yaml: `${fine}listen:\n  port: 7\n`,
      has: { listen: { host: 'localhost', port: 7 } },
    },
    {
      name: 'the environment over the file',
      yaml: `${fine}listen: {port: 7}\n`,
      environment: { SHOAL_LISTEN__PORT: '8' },
      has: { listen: { host: 'localhost', port: 8 } },
    },
    {
      name: 'an option over the environment',
      environment: { SHOAL_LISTEN__PORT: '8' },
      overrides: [{ path: 'listen.port', value: 9, option: '--port' }],
      has: { listen: { host: 'localhost', port: 9 } },
    },
    {
      name: 'an option that was not given, as nothing',
      overrides: [{ path: 'listen.port', value: undefined, option: '--port' }],
      has: { listen: { host: 'localhost', port: 16000 } },
    },
    {
      name: 'camel case from the environment',
      environment: { SHOAL_CASTORE__CAPACITY_BYTES: '5' },
      has: { castore: { directory: 'd', capacityBytes: 5 } },
    },
    {
      name: 'a setting at the top from the environment',
      environment: { SHOAL_PROXY_URL: 'http://p' },
      has: { proxyUrl: 'http://p' },
    },
    { name: 'a digits-only text as a text', environment: { SHOAL_PROXY_URL: '123' }, has: { proxyUrl: '123' } },
    {
      name: 'a list from the environment',
      environment: { SHOAL_ORIGINS: '[http://a, http://b]' },
      has: { origins: ['http://a', 'http://b'] },
    },
    { name: 'a boolean from the environment', environment: { SHOAL_FAST: 'true' }, has: { fast: true } },
    {
      name: 'the fields of one branch of a union',
      environment: { SHOAL_PEERS__TYPE: 'redis', SHOAL_PEERS__URL: 'redis://r' },
      has: { peers: { type: 'redis', url: 'redis://r' } },
    },
    {
      name: 'keys of an open section',
      environment: { SHOAL_BACKEND__PARAMETERS__ROOTDIRECTORY: '/data' },
      has: { backend: { driver: 'filesystem', parameters: { rootdirectory: '/data' } } },
    },
    {
      name: 'nothing from variables of others',
      environment: { SHOAL_PORT_80_TCP: 'tcp://x', SHOAL_LISTEN: 'x', PORT: '1' },
      has: {},
    },
    {
      name: 'an empty section as its defaults',
      yaml: `${fine}listen: {}\n`,
      has: { listen: { host: 'localhost', port: 16000 } },
    },
  ];

  it.each(valid)('takes $name', async ({ has, ...input }) => {
    const { config, faults } = await load(input);
    expect(faults).toBeUndefined();
    expect(config).toMatchObject(has);
  });

  const wrong: readonly (Case & { readonly faults: readonly string[] })[] = [
    {
      name: 'a number out of bounds',
      yaml: `${fine}listen:\n  port: 70000\n`,
      faults: ['shoal.yaml:3:9: listen.port: expected an integer from 0 to 65535, got 70000'],
    },
    {
      name: 'a wrong type',
      yaml: `${fine}listen: {port: "80"}\n`,
      faults: ['shoal.yaml:2:16: listen.port: expected an integer from 0 to 65535, got "80"'],
    },
    {
      name: 'a misspelt key',
      yaml: `${fine}listen:\n  prot: 80\n`,
      faults: ['shoal.yaml:3:3: listen.prot: unknown key; did you mean "port"?'],
    },
    {
      name: 'a key that is like no other',
      yaml: `${fine}listen:\n  zebra: 80\n`,
      faults: ['shoal.yaml:3:3: listen.zebra: unknown key; expected one of host, port'],
    },
    {
      name: 'a missing setting, at its section',
      yaml: 'fast: true\ncastore:\n  capacityBytes: 5\n',
      faults: [
        'shoal.yaml:3:3: castore.directory: expected a text that is not empty, got nothing: it has no default and has to be set',
      ],
    },
    {
      name: 'a missing section, at the start of the file',
      yaml: 'fast: true\n',
      faults: [
        'shoal.yaml:1:1: castore.directory: expected a text that is not empty, got nothing: it has no default and has to be set',
      ],
    },
    {
      name: 'a section that is none',
      yaml: `${fine}listen: 5\n`,
      faults: ['shoal.yaml:2:9: listen: expected a section with keys, got 5'],
    },
    {
      name: 'an entry of a list',
      yaml: `${fine}origins:\n  - http://a\n  - ftp://b\n`,
      faults: ['shoal.yaml:4:5: origins[1]: expected a text that matches ^https?://, got "ftp://b"'],
    },
    {
      name: 'a list that is too short',
      yaml: `${fine}origins: []\n`,
      faults: ['shoal.yaml:2:10: origins: expected a list of strings, at least 1 of them, got a list of 0'],
    },
    {
      name: 'a choice',
      yaml: `${fine}level: loud\n`,
      faults: ['shoal.yaml:2:8: level: expected "debug" or "info", got "loud"'],
    },
    {
      name: 'the branch of a union that was meant',
      yaml: `${fine}peers: {type: redis, ulr: x}\n`,
      faults: [
        'shoal.yaml:2:22: peers.ulr: unknown key; did you mean "url"?',
        'shoal.yaml:2:8: peers.url: expected a text, got nothing: it has no default and has to be set',
      ],
    },
    {
      name: 'a variable',
      environment: { SHOAL_LISTEN__PORT: 'eighty' },
      faults: [
        'environment variable SHOAL_LISTEN__PORT: listen.port: expected an integer from 0 to 65535, got "eighty"',
      ],
    },
    {
      name: 'a misspelt variable',
      environment: { SHOAL_LISTEN__PROT: '80' },
      faults: ['environment variable SHOAL_LISTEN__PROT: listen: unknown name "PROT"; did you mean PORT?'],
    },
    {
      name: 'an option',
      overrides: [{ path: 'listen.port', value: -1, option: '--port' }],
      faults: ['option --port: listen.port: expected an integer from 0 to 65535, got -1'],
    },
    {
      name: 'two keys of one name',
      yaml: `${fine}fast: true\nfast: false\n`,
      faults: ['shoal.yaml:3:1: not valid YAML: Map keys must be unique'],
    },
    {
      name: 'an alias of nothing',
      yaml: 'proxyUrl: *here\n',
      faults: ['shoal.yaml:1:1: not valid YAML: Unresolved alias (the anchor must be set before the alias): here'],
    },
    {
      name: 'aliases that would grow without end',
      yaml: `a: &a [x, x, x, x, x, x, x, x]\n${'bcdefgh'.replace(/./g, (key) => {
        const before = String.fromCharCode(key.charCodeAt(0) - 1);
        return `${key}: &${key} [${Array.from({ length: 8 }, () => `*${before}`).join(', ')}]\n`;
      })}`,
      faults: ['shoal.yaml:1:1: not valid YAML: Excessive alias count indicates a resource exhaustion attack'],
    },
  ];

  it.each(wrong)('names the place of $name', async ({ faults, ...input }) => {
    expect(await load(input)).toEqual({ faults });
  });

  it('reports all faults of file, environment and options together', async () => {
    const { faults } = await load({
      yaml: 'a1: 1\na2: 1\na3: 1\na4: 1\na5: 1\na6: 1\na7: 1\na8: 1\na9: 1\nlisten: {host: 5}\n',
      environment: { SHOAL_FAST: '7', SHOAL_LISTEN__PROT: '1' },
      overrides: [{ path: 'level', value: 'x', option: '--level' }],
    });
    // Nine unknown keys, the host, the missing folder, two variables, one option.
    expect(faults).toHaveLength(14);
  });

  it('never shows a secret in a fault', async () => {
    const secrets = Type.Object({ password: Type.Integer() }, closed);
    const environment = { SHOAL_PASSWORD: 'hunter2' };
    await expect(loadConfig(secrets, { environment })).rejects.toThrow(/expected an integer, got "\*+"/);
  });

  it('names a file that is not there', async () => {
    await expect(loadConfig(schema, { file: '/nowhere/shoal.yaml' })).rejects.toThrow(
      /cannot read the configuration file \/nowhere\/shoal\.yaml: ENOENT/,
    );
  });

  it('gives the same result whether a value comes from the file, the environment or an option', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: -70_000, max: 140_000 }), fc.string({ minLength: 0 }), async (port, host) => {
        const inFile = await load({ yaml: `${fine}listen: ${JSON.stringify({ port, host })}\n` });
        const inEnvironment = await load({
          environment: { SHOAL_LISTEN__PORT: String(port), SHOAL_LISTEN__HOST: host },
        });
        const inOptions = await load({
          overrides: [
            { path: 'listen.port', value: port, option: '--port' },
            { path: 'listen.host', value: host, option: '--host' },
          ],
        });
        const problems = (result: { faults?: string[] }) =>
          result.faults?.map((line) => line.replace(/^.*?: listen/, 'listen'));
        expect(inEnvironment.config).toEqual(inFile.config);
        expect(inOptions.config).toEqual(inFile.config);
        expect(problems(inEnvironment)).toEqual(problems(inFile));
        expect(problems(inOptions)).toEqual(problems(inFile));
      }),
      { numRuns: 60 },
    );
  });

  it('throws nothing but a ConfigError, whatever the file holds', async () => {
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc.constant('a: &a [*a]'),
      fc.constant('- 1\n- 2\n'),
      fc.constant('listen: !!foo 3'),
    );
    await fc.assert(
      fc.asyncProperty(text, async (yaml) => void (await load({ yaml }))),
      { numRuns: 300 },
    );
  });
});
