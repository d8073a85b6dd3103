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

/** What a program is handed besides its configuration. */
export interface RoleTools {
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly clusterToken: string;
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
  start(tools: RoleTools): Promise<RunningRole>;
}

/** Describes a program; the schema has to be that of `C`. */
export function defineRole<C extends RoleConfig>(definition: {
  readonly name: string;
  readonly schema: TObject;
  readonly start: (config: C, tools: RoleTools) => Promise<RunningRole>;
}): Role {
  const { name, schema } = definition;
  return {
    name,
    schema,
    load: async (sources) => {
      const config = (await loadConfig(schema, sources)) as unknown as C;
      return { config, start: (tools) => definition.start(config, tools) };
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
