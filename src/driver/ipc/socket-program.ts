import { readFile } from 'node:fs/promises';
import { ConfigError } from '../../core/index.ts';
import { StorageUnavailableError } from '../errors.ts';
import { DriverConnection } from './connection.ts';
import { driverNameOf } from './driver-process.ts';
import type { DriverProgram } from './program.ts';
import { type DriverInfo, readInfo } from './protocol.ts';

/** A driver program that somebody else keeps running, such as the system's service manager. */
export class SocketProgram implements DriverProgram {
  readonly info: DriverInfo;
  readonly #connection: DriverConnection;
  #isClosed = false;

  private constructor(info: DriverInfo, connection: DriverConnection) {
    this.info = info;
    this.#connection = connection;
  }

  /** @throws ConfigError for the token or for what is at the socket; StorageUnavailableError when nothing answers in time */
  static async open(options: {
    readonly socket: string;
    readonly tokenFile: string;
    readonly readyMs: number;
  }): Promise<SocketProgram> {
    const { socket, tokenFile, readyMs } = options;
    const token = await readToken(tokenFile);
    const connection = new DriverConnection({ socketPath: socket, token, driverName: 'ipc' });
    try {
      const info = await introduce(connection, socket, readyMs);
      connection.driverName = driverNameOf(info);
      return new SocketProgram(info, connection);
    } catch (error) {
      await connection.close(new Error('the driver could not be used'));
      throw error;
    }
  }

  async connect(path: string): Promise<DriverConnection> {
    if (this.#isClosed) throw new StorageUnavailableError(driverNameOf(this.info), path, 'the driver is closed');
    return this.#connection;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#connection.close(new Error('the driver is closed'));
  }
}

async function introduce(connection: DriverConnection, socket: string, readyMs: number): Promise<DriverInfo> {
  const timeout = new StorageUnavailableError(
    'ipc',
    '/',
    `the driver at ${socket} did not answer within ${readyMs} ms`,
  );
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(timeout), readyMs);
  try {
    const call = { method: 'GET', call: 'info', path: '/', context: { signal: controller.signal } } as const;
    const said = await connection.json(call, (value) => ({ info: readInfo(value), value }));
    if (typeof said.info !== 'string') return said.info;
    const got = JSON.stringify(said.value)?.slice(0, 300);
    throw new ConfigError(
      `storage driver ipc: what is at ${socket} is no driver for this version: ${said.info}; got ${got}`,
    );
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'UNAUTHORIZED') throw error;
    throw new ConfigError(
      `storage driver ipc: the driver at ${socket} refuses the token; expected the one it was started with (REGISTRY_STORAGE_TOKEN) in the tokenfile`,
      {},
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}

async function readToken(file: string): Promise<string> {
  let token: string;
  try {
    token = (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw new ConfigError(`storage driver ipc: the tokenfile ${file} cannot be read (${cause})`, {}, { cause });
  }
  if (/^[\x21-\x7e]{16,512}$/.test(token)) return token;
  throw new ConfigError(
    `storage driver ipc: the tokenfile ${file} holds no token, expected one line of 16 to 512 visible ASCII characters`,
  );
}
