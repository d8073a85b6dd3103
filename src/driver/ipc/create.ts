import { basename } from 'node:path';
import { ConfigError } from '../../core/index.ts';
import { StorageUnavailableError } from '../errors.ts';
import type { DriverParameters } from '../parameters.ts';
import type { StorageDriver } from '../storage-driver.ts';
import { END_MS, findSocketFault, LaunchError, launchDriver, READY_MS } from './driver-process.ts';
import { type Environment, environmentFor } from './environment.ts';
import { findDriverProgram, findProgram } from './find-program.ts';
import { IpcDriver } from './ipc-driver.ts';
import { type IpcTarget, readIpcParameters } from './parameters.ts';
import type { DriverProgram } from './program.ts';
import { SocketProgram } from './socket-program.ts';
import { Supervisor, type SupervisorTimes, supervisorTimes } from './supervisor.ts';

/** What the ipc driver takes from around it. */
export interface IpcDeps {
  /** Folders to look for programs in, as `PATH` has them. */
  readonly searchPath: string | undefined;
  /** What driver programs may get some of. */
  readonly environment: Environment;
  /** Gets what driver programs write to standard error. */
  readonly log: (driver: string, line: string) => void;
  /** How long a program has to be ready, and to end when it is asked to; in milliseconds. */
  readonly readyMs: number;
  readonly endMs: number;
  readonly times: SupervisorTimes;
}

/**
 * Opens a driver that is another program: starts it, and keeps it running until the driver is closed; or goes to the socket of
 * one that somebody else keeps running.
 * @throws ConfigError for the parameters, or when the program is not there or is no driver; StorageUnavailableError when it is
 * not ready in time
 */
export async function createIpcDriver(
  parameters: DriverParameters,
  deps: Partial<IpcDeps> = {},
): Promise<StorageDriver> {
  const { target, forProgram } = readIpcParameters(parameters);
  return new IpcDriver(await openProgram(target, forProgram, { ...defaultDeps(), ...deps }));
}

async function openProgram(
  target: IpcTarget,
  parameters: DriverParameters,
  { searchPath, environment, log, readyMs, endMs, times }: IpcDeps,
): Promise<DriverProgram> {
  if (target.kind === 'socket') return SocketProgram.open({ ...target, readyMs });
  const fault = findSocketFault();
  if (fault !== undefined) throw new ConfigError(`storage driver ipc: ${fault}`);
  const [program, words] =
    target.kind === 'name'
      ? [await findDriverProgram(target.name, searchPath), []]
      : [await findProgram(target.command[0], searchPath), target.command.slice(1)];
  const label = `ipc:${target.kind === 'name' ? target.name : basename(program)}`;
  const launch = () =>
    launchDriver({
      label,
      command: [program, ...words],
      parameters,
      environment: environmentFor(target.environment, environment),
      readyMs,
      endMs,
      log: (line) => log(label, line),
    });
  try {
    return await Supervisor.start(launch, times);
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error;
    if (error.isTemporary) throw new StorageUnavailableError(label, '/', error.message, { cause: error });
    throw new ConfigError(`storage driver ${error.message}`, { driver: label }, { cause: error });
  }
}

function defaultDeps(): IpcDeps {
  const { env } = process;
  const times = supervisorTimes;
  return { searchPath: env['PATH'], environment: env, log: logLine, readyMs: READY_MS, endMs: END_MS, times };
}

/** Beside the log lines of this program, in their form. */
function logLine(driver: string, line: string): void {
  process.stderr.write(`${JSON.stringify({ level: 30, time: Date.now(), driver, msg: line })}\n`);
}
