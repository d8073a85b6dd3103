import { rmdir } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { ConfigError } from '../../core/index.ts';
import type { DriverParameters } from '../parameters.ts';
import type { StorageDriver } from '../storage-driver.ts';
import { environmentNames, formatInfo, MAX_LINE_BYTES, PROTOCOL } from './protocol.ts';
import { serveDriver } from './serve.ts';

/** A process that becomes a driver program. */
export interface ServeProcessOptions {
  /** Opens the driver by the parameters from standard input. */
  readonly open: (parameters: DriverParameters) => Promise<StorageDriver>;
  readonly environment: NodeJS.ProcessEnv;
  /** Parameters come as its first line, and its end is the end of the program; without it, it ends by the signal only. */
  readonly stdin: Readable | undefined;
  readonly stdout: Writable;
  /** Ends the program. */
  readonly signal: AbortSignal;
}

/**
 * Is a driver program from beginning to end: reads the parameters, opens the driver, serves it, says that it is ready, and
 * closes all when it is asked to or whoever started it is gone. @throws ConfigError for the environment or the parameters
 */
export async function serveDriverProcess(options: ServeProcessOptions): Promise<void> {
  const { socketPath, token } = readEnvironment(options.environment);
  const input = options.stdin && new ParameterInput(options.stdin);
  const parameters = input === undefined ? {} : await input.first;
  await using driver = await options.open(parameters);
  const served = await serveDriver({ driver, socketPath, token });
  options.stdout.write(`${formatInfo(served.info)}\n`);
  await Promise.race([aborted(options.signal), ...(input === undefined ? [] : [input.ended])]);
  await served.close();
  if (input === undefined) return;
  input.stop();
  // The folder was made for this socket, and whoever made it may be gone; one that holds anything else stays.
  await rmdir(dirname(socketPath)).catch(() => undefined);
}

function readEnvironment(environment: NodeJS.ProcessEnv): { readonly socketPath: string; readonly token: string } {
  const socketPath = environment[environmentNames.socket];
  const protocol = environment[environmentNames.protocol];
  const token = environment[environmentNames.token];
  if (socketPath === undefined || !isAbsolute(socketPath) || token === undefined || token.length < 16) {
    throw new ConfigError(
      `a driver program is started by a registry (storage driver ipc), or by hand with ${environmentNames.socket} (an absolute path) ` +
        `and ${environmentNames.token} (16 characters at least) in its environment`,
    );
  }
  if (protocol !== undefined && protocol !== String(PROTOCOL)) {
    throw new ConfigError(
      `${environmentNames.protocol} is "${protocol}", expected ${PROTOCOL}: the registry is of another version`,
    );
  }
  return { socketPath, token };
}

/** The first line of standard input, and its end. */
class ParameterInput {
  readonly first: Promise<DriverParameters>;
  readonly ended: Promise<void>;
  readonly #stdin: Readable;

  constructor(stdin: Readable) {
    this.#stdin = stdin;
    this.ended = new Promise((resolve) => {
      for (const event of ['end', 'close', 'error'] as const) stdin.once(event, () => resolve());
    });
    this.first = new Promise((resolve, reject) => {
      let text = '';
      const take = (part: Buffer) => {
        text += part.toString('latin1');
        const end = text.indexOf('\n');
        if (end === -1 && text.length <= MAX_LINE_BYTES) return;
        stdin.off('data', take).resume();
        try {
          resolve(parseParameters(Buffer.from(text.slice(0, Math.max(end, 0)), 'latin1').toString('utf8')));
        } catch (error) {
          reject(error);
        }
      };
      stdin.on('data', take);
      void this.ended.then(() => reject(new ConfigError('standard input ended before the line with the parameters')));
    });
  }

  stop(): void {
    this.#stdin.destroy();
  }
}

function parseParameters(line: string): DriverParameters {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = undefined; // The text may hold secrets, so that the error does not show it.
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as DriverParameters;
  throw new ConfigError('expected the parameters as one line of JSON on standard input: {"key": value, …}');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
