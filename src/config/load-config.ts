import type { Static, TObject } from 'typebox';
import { readEnvironment, type Setting } from './environment.ts';
import { faultsError } from './fault.ts';
import { nodeOf } from './schema-node.ts';
import { type ConfigPath, checkConfig } from './validate.ts';
import { readConfigFile } from './yaml-file.ts';

/** Where a configuration comes from; later ones win: file, environment, overrides. */
export interface ConfigSources {
  /** A YAML file; without one everything comes from defaults, environment and overrides. */
  readonly file?: string | undefined;
  /** `process.env`, handed in by the command line. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** What the options of the command say; entries whose value is `undefined` were not given. */
  readonly overrides?: readonly ConfigOverride[];
}

/** A setting from an option of the command. */
export interface ConfigOverride {
  /** Dotted, such as `listen.port`. */
  readonly path: string;
  readonly value: unknown;
  /** The option as it was typed, such as `--port`. */
  readonly option: string;
}

/**
 * Reads a configuration, fills in defaults, and checks it against its schema.
 *
 * @throws ConfigError that lists every fault, each as `place: setting: expected …, got …`
 */
export async function loadConfig<S extends TObject>(schema: S, sources: ConfigSources): Promise<Static<S>> {
  const file = sources.file === undefined ? undefined : await readConfigFile(sources.file);
  if (file !== undefined && file.faults.length > 0) throw faultsError(file.faults);
  const node = nodeOf(schema);
  const environment = readEnvironment(node, sources.environment ?? {});
  const settings = [...environment.settings, ...overrideSettings(sources.overrides ?? [])];
  let tree: unknown = file?.tree ?? {};
  for (const setting of settings) tree = withSetting(tree, setting.path, setting.value);
  const checked = checkConfig(node, tree, (path, kind) => {
    return settingAt(settings, path)?.place ?? file?.placeOf(path, kind) ?? 'configuration';
  });
  const faults = [...environment.faults, ...checked.faults];
  if (faults.length > 0) throw faultsError(faults);
  return checked.value as Static<S>;
}

function overrideSettings(overrides: readonly ConfigOverride[]): Setting[] {
  return overrides
    .filter(({ value }) => value !== undefined)
    .map(({ path, value, option }) => ({ path: path.split('.'), value, place: `option ${option}` }));
}

/** The last setting that wrote this path or a part of it. */
function settingAt(settings: readonly Setting[], path: ConfigPath): Setting | undefined {
  return settings.findLast((setting) => {
    return setting.path.length <= path.length && setting.path.every((key, index) => key === path[index]);
  });
}

/** A copy of the tree with one value set; what is in the way and no section is replaced. */
function withSetting(tree: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const section = typeof tree === 'object' && tree !== null && !Array.isArray(tree) ? tree : {};
  return { ...section, [key]: withSetting((section as Record<string, unknown>)[key], rest, value) };
}
