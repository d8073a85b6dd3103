import { AppError } from '../core/index.ts';

/** A registry answered a request of the command line with an error, or not as the protocol says. */
export class RegistryRequestError extends AppError {
  readonly code = 'REGISTRY_REQUEST';
}

/** A program that `shoal up` started ended, or was not ready in time. */
export class ProgramFailedError extends AppError {
  readonly code = 'PROGRAM_FAILED';
}

/** The person at the keyboard ended the command. */
export class InterruptedError extends AppError {
  readonly code = 'INTERRUPTED';
}
