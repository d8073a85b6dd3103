import { AppError } from '../core/index.ts';

/** A file of the store is shorter than it was when it was verified: somebody else, or the disk, has changed it. */
export class StoreDamagedError extends AppError {
  readonly code = 'STORE_DAMAGED';
}
