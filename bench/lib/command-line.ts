import { type Command, CommanderError } from 'commander';
import { BenchUsageError } from './errors.ts';

/**
 * Reads a bench's command line (without program and script).
 * @returns its options; `undefined` when it asked for help, which has been printed then
 * @throws BenchUsageError
 */
export function parseFlags<Flags extends object>(command: Command, args: readonly string[]): Flags | undefined {
  try {
    command.parse([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new BenchUsageError(error.message.replace(/^error: /, ''));
  }
  return command.opts<Flags>();
}
