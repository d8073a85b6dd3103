import { AppError, fromWireError, toWireError, type WireError } from '../../core/index.ts';

/** An error on its way to another process of this host. */
export interface PackedError {
  /** One of ours: it keeps its class. */
  readonly wire?: WireError;
  readonly name: string;
  readonly message: string;
  /** Of the system, such as ENOENT. */
  readonly code?: string;
}

/** What is sent of an error; its stack stays in the log of the process that threw it. */
export function packError(error: unknown): PackedError {
  if (error instanceof AppError) return { wire: toWireError(error), name: error.name, message: error.message };
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  return { name: error.name, message: error.message, ...code };
}

/** The inverse of {@link packError}. */
export function unpackError({ wire, name, message, code }: PackedError): Error {
  if (wire !== undefined) return fromWireError(wire);
  return Object.assign(new Error(message), { name }, code === undefined ? {} : { code });
}
