import { Command, CommanderError } from 'commander';
import { AppError } from '../core/index.ts';
import type { CommandResult } from './command-result.ts';
import { addConfigCommand } from './config-command.ts';
import { addDriverCommand } from './driver-command.ts';
import { addGcCommand } from './gc-command.ts';
import { addRegistryCommand } from './registry-command.ts';
import { addRoleCommands } from './role-commands.ts';
import { addUpCommand } from './up-command.ts';
import { readVersion } from './version.ts';

/**
 * The command line.
 *
 * @param argv the words behind `shoal`
 * @returns the exit status: 0 done, 1 failed, 2 not understood
 */
export async function main(argv: readonly string[]): Promise<number> {
  const result: CommandResult = { status: 0 };
  const program = buildProgram(result);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return result.status;
  } catch (error) {
    return reportFailure(error);
  }
}

/** All commands and their options; nothing runs until they are parsed. */
export function buildProgram(result: CommandResult): Command {
  const version = readVersion();
  const program = new Command('shoal')
    .description('Distributes container images to a large fleet, peer to peer.')
    .version(version)
    .showHelpAfterError('(shoal --help lists what there is)')
    .exitOverride();
  addUpCommand(program, result);
  addRoleCommands(program, version, result);
  addRegistryCommand(program, version, result);
  addGcCommand(program, result);
  addDriverCommand(program, result);
  addConfigCommand(program);
  return program;
}

/** Says in words what went wrong; a stack is for defects only. */
function reportFailure(error: unknown): number {
  // Commander has printed its message already. Help and version come here too, with status 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof AppError) {
    process.stderr.write(`${linesOf(error).join('\n')}\n`);
    return 1;
  }
  process.stderr.write(`shoal: this is a defect: ${error instanceof Error ? error.stack : String(error)}\n`);
  return 1;
}

function linesOf(error: AppError): string[] {
  const lines = error.message.split('\n');
  return lines.length === 1
    ? [`shoal: ${lines[0]}`]
    : [`shoal: ${lines.length} faults`, ...lines.map((line) => `  ${line}`)];
}
