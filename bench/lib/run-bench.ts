import { AppError } from '../../src/core/index.ts';
import { BenchInterruptedError, BenchUsageError } from './errors.ts';

const STATUS_OF_SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/**
 * Runs a benchmark to its end: Ctrl-C and the like abort its signal, and it is then waited for while it cleans up. Errors
 * are printed; only defects with their stack.
 * @returns the exit status
 */
export async function runBench(bench: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const controller = new AbortController();
  let interrupted: number | undefined;
  for (const [name, status] of Object.entries(STATUS_OF_SIGNALS)) {
    process.on(name, () => {
      interrupted ??= status;
      progress(`${name}: cleaning up`);
      controller.abort(new BenchInterruptedError(`ended by ${name}`));
    });
  }
  try {
    const status = await bench(controller.signal);
    return interrupted ?? status;
  } catch (error) {
    if (interrupted !== undefined) return interrupted;
    progress(error instanceof AppError ? describe(error) : String(error instanceof Error ? error.stack : error));
    return error instanceof BenchUsageError ? 2 : 1;
  }
}

/** One line on standard error: standard output is for results. */
export function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

function describe(error: Error): string {
  const cause = error.cause instanceof Error ? `\n  because: ${error.cause.message}` : '';
  return `${error.message}${cause}`;
}
