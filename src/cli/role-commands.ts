import type { Command } from 'commander';
import type { ConfigSources } from '../config/index.ts';
import type { CommandResult } from './command-result.ts';
import { clusterRoles } from './roles.ts';
import { parsePort } from './values.ts';

/** The options that every program has. */
export interface RoleFlags {
  readonly config?: string;
  readonly host?: string;
  readonly port?: number;
  readonly logLevel?: string;
  readonly exitWithStdin?: boolean;
}

/** `shoal agent`, `shoal proxy`, `shoal origin`, `shoal tracker`, `shoal build-index`. */
export function addRoleCommands(program: Command, version: string, result: CommandResult): void {
  for (const entry of clusterRoles) {
    withRoleOptions(program.command(entry.name).description(entry.summary), entry.name).action(
      async (flags: RoleFlags) => {
        const exitWithStdin = flags.exitWithStdin === true;
        const { runRole } = await import('./run-role.ts');
        result.status = await runRole({ role: await entry.open(), sources: sourcesOf(flags), version, exitWithStdin });
      },
    );
  }
}

/** Adds the options that every program has. */
export function withRoleOptions(command: Command, name: string): Command {
  const exitOption = command.createOption('--exit-with-stdin', 'end when standard input ends').hideHelp();
  return command
    .option('--config <file>', `configuration of the ${name} (YAML); SHOAL_SECTION__KEY variables go over it`)
    .option('--host <host>', 'address to listen on (listen.host)')
    .option('--port <port>', 'port to listen on (listen.port)', parsePort)
    .option('--log-level <level>', 'debug, info, warn, error or silent (log.level)')
    .addOption(exitOption);
}

/** Where the configuration of a program comes from, by its options. */
export function sourcesOf(flags: RoleFlags): ConfigSources {
  return {
    file: flags.config,
    environment: process.env,
    overrides: [
      { path: 'listen.host', value: flags.host, option: '--host' },
      { path: 'listen.port', value: flags.port, option: '--port' },
      { path: 'log.level', value: flags.logLevel, option: '--log-level' },
    ],
  };
}
