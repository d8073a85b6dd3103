import { AppError } from '../core/index.ts';

/** A path is none of the registry's layout; `details.part` is the component that does not fit. */
export class InvalidRegistryPathError extends AppError {
  readonly code = 'INVALID_REGISTRY_PATH';
}
