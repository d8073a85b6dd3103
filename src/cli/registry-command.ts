import type { Command } from 'commander';
import type { CommandResult } from './command-result.ts';
import { type RoleFlags, sourcesOf, withRoleOptions } from './role-commands.ts';
import { registryEntry } from './roles.ts';
import { collectParameters } from './values.ts';

interface RegistryFlags extends RoleFlags {
  readonly driver?: string;
  readonly params: Readonly<Record<string, string>>;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/** `shoal registry`: one storage driver behind the registry API. */
export function addRegistryCommand(program: Command, version: string, result: CommandResult): void {
  withRoleOptions(program.command('registry').description(registryEntry.summary), 'registry')
    .option('--driver <name>', 'storage driver')
    .option('--params <key=value>', 'parameter of the driver; may be given again', collectParameters, {})
    .option('--tls-cert <file>', 'PEM file with the certificate (listen.tls.certFile)')
    .option('--tls-key <file>', 'PEM file with its key (listen.tls.keyFile)')
    .action(async (flags: RegistryFlags) => {
      const sources = sourcesOf(flags);
      const parameters = Object.entries(flags.params).map(([key, value]) => {
        return { path: `parameters.${key}`, value, option: `--params ${key}` };
      });
      const overrides = [
        ...(sources.overrides ?? []),
        { path: 'driver', value: flags.driver, option: '--driver' },
        { path: 'listen.tls.certFile', value: flags.tlsCert, option: '--tls-cert' },
        { path: 'listen.tls.keyFile', value: flags.tlsKey, option: '--tls-key' },
        ...parameters,
      ];
      const exitWithStdin = flags.exitWithStdin === true;
      const { runRole } = await import('./run-role.ts');
      result.status = await runRole({
        role: await registryEntry.open(),
        sources: { ...sources, overrides },
        version,
        exitWithStdin,
      });
    });
}
