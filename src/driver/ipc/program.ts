import { StorageUnavailableError } from '../errors.ts';
import type { DriverConnection } from './connection.ts';
import type { DriverInfo } from './protocol.ts';

/** A driver program as the driver in this process uses it, whoever keeps it running. */
export interface DriverProgram {
  readonly info: DriverInfo;
  /**
   * The connection to use for the next call. Waits a moment when the program is just being started again.
   * @throws StorageUnavailableError when it is down; the reason of the signal
   */
  connect(path: string, signal: AbortSignal | undefined): Promise<DriverConnection>;
  /** Ends what was started, and all connections. */
  close(): Promise<void>;
}

/**
 * Makes a call. When nobody was at the socket, nothing was sent, so that it is made once more with the connection that there is
 * then: the program has ended, and the news of it came late.
 */
export async function callProgram<T>(
  program: DriverProgram,
  path: string,
  signal: AbortSignal | undefined,
  call: (connection: DriverConnection) => Promise<T>,
): Promise<T> {
  try {
    return await call(await program.connect(path, signal));
  } catch (error) {
    if (!wasNeverSent(error)) throw error;
    return call(await program.connect(path, signal));
  }
}

function wasNeverSent(error: unknown): boolean {
  if (!(error instanceof StorageUnavailableError)) return false;
  const { code } = (error.cause ?? {}) as { readonly code?: unknown };
  return code === 'ECONNREFUSED' || code === 'ENOENT';
}
