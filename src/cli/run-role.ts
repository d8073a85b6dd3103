import { type Logger, pino } from 'pino';
import { type ConfigSources, readClusterToken } from '../config/index.ts';
import { createMetrics } from '../metrics/index.ts';
import type { LoadedRole, Role } from './role.ts';
import { closeWithin, exitOnDefects, exitSoon, watchShutdown } from './shutdown.ts';

/** How one program is run. */
export interface RunRoleOptions {
  readonly role: Role;
  readonly sources: ConfigSources;
  readonly version: string;
  /** End when standard input does: then the program that started this one is gone. */
  readonly exitWithStdin: boolean;
}

/**
 * Runs one program until it is asked to end.
 * @returns the exit status: 0 when it ended cleanly and in time
 */
export async function runRole({ role, sources, version, exitWithStdin }: RunRoleOptions): Promise<number> {
  const loaded = await role.load(sources);
  const logger = openLog(role.name, loaded.config.log.level);
  exitOnDefects(logger);
  const watch = watchShutdown({
    withStdin: exitWithStdin,
    onSecond: () => process.exit(130),
    // A terminal that is closed sends the same signal, and means that the program shall end.
    onHangup: process.stdin.isTTY === true ? undefined : () => void reload(loaded, logger),
  });
  try {
    const running = await start(role, loaded, logger, version);
    logger.info({ port: running.port, version }, `${role.name} listens`);
    // Whoever started this program with a channel (`shoal up` does) learns that the port is its own.
    process.send?.({ listening: running.port });
    await watch.requested;
    logger.info({ reason: watch.signal.reason }, `${role.name} ends`);
    const status = await closeWithin(running, logger);
    exitSoon(status);
    return status;
  } finally {
    watch.close();
  }
}

async function start(role: Role, loaded: LoadedRole, logger: Logger, version: string) {
  const metrics = createMetrics({ role: role.name, version });
  const clusterToken = loaded.config.cluster === undefined ? '' : await readClusterToken(loaded.config.cluster);
  return loaded.start({ logger, metrics, clusterToken });
}

/** Never rejects: with a configuration that cannot be read, the program goes on as it is. */
async function reload(loaded: LoadedRole, logger: Logger): Promise<void> {
  try {
    await loaded.reload();
    logger.info(
      'the configuration has been read again; limits of the swarm and certificates follow it, the rest does after a restart',
    );
  } catch (error) {
    logger.error({ err: error }, 'the configuration cannot be read again; the former one stays');
  }
}

function openLog(name: string, level: string): Logger {
  // Written at once: the last lines before an end are those that matter most.
  return pino({ level, base: { role: name } }, pino.destination({ dest: 2, sync: true }));
}
