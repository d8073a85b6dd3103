import { AppError } from '../../src/core/index.ts';

/** The command line asks for something that cannot be. */
export class BenchUsageError extends AppError {
  readonly code = 'BENCH_USAGE';
}

/** This machine lacks what the bench needs: root, a program, a library. */
export class BenchNeedsError extends AppError {
  readonly code = 'BENCH_NEEDS';
}

/** Something that was to be measured failed. */
export class BenchRunError extends AppError {
  readonly code = 'BENCH_RUN';
}

/** Someone asked for the end (Ctrl-C). */
export class BenchInterruptedError extends AppError {
  readonly code = 'BENCH_INTERRUPTED';
}
