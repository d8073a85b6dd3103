import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { TObject } from 'typebox';
import { type ClusterConfig, type ConfigSources, type LogConfig, loadConfig } from '../config/index.ts';
import type { Closable } from './shutdown.ts';

/** What every program has in its configuration. */
export interface RoleConfig {
  /** Missing in a program that belongs to no cluster. */
  readonly cluster?: ClusterConfig;
  readonly log: LogConfig;
}

/** What a program is handed besides its configuration, which is a `C`. */
export interface RoleTools<C> {
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly clusterToken: string;
  /** Asks to be told the configuration when it has been read again; only settings that say so may take effect then. */
  readonly onReload: (apply: (config: C) => void) => void;
}

/** A program that runs. */
export interface RunningRole extends Closable {
  /** The port of its HTTP server. */
  readonly port: number;
}

/** One program of a cluster, as the command line knows it. */
export interface Role {
  readonly name: string;
  readonly schema: TObject;
  /** Reads and checks its configuration. @throws ConfigError */
  load(sources: ConfigSources): Promise<LoadedRole>;
}

/** A program whose configuration is known to be right. */
export interface LoadedRole {
  readonly config: RoleConfig;
  start(tools: Omit<RoleTools<RoleConfig>, 'onReload'>): Promise<RunningRole>;
  /** Reads the configuration again and hands it to the parts that asked. @throws ConfigError; then all stays as it was */
  reload(): Promise<void>;
}

/** Describes a program; the schema has to be that of `C`. */
export function defineRole<C extends RoleConfig>(definition: {
  readonly name: string;
  readonly schema: TObject;
  readonly start: (config: C, tools: RoleTools<C>) => Promise<RunningRole>;
}): Role {
  const { name, schema } = definition;
  const read = async (sources: ConfigSources) => (await loadConfig(schema, sources)) as unknown as C;
  return {
    name,
    schema,
    load: async (sources) => {
      const config = await read(sources);
      const applies: ((config: C) => void)[] = [];
      const onReload = (apply: (config: C) => void) => {
        applies.push(apply);
      };
      return {
        config,
        start: (tools) => definition.start(config, { ...tools, onReload }),
        reload: async () => {
          const changed = await read(sources);
          for (const apply of applies) apply(changed);
        },
      };
    },
  };
}

/** Starts a program out of parts; what was opened before a failure is closed again, and `close` closes all, last first. */
export async function startWithParts(
  open: (parts: AsyncDisposableStack) => Promise<{ readonly port: number }>,
): Promise<RunningRole> {
  await using parts = new AsyncDisposableStack();
  const { port } = await open(parts);
  const owned = parts.move();
  return { port, close: () => owned.disposeAsync() };
}
