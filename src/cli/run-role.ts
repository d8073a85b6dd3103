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
  const watch = watchShutdown({ withStdin: exitWithStdin, onSecond: () => process.exit(130) });
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

function openLog(name: string, level: string): Logger {
  // Written at once: the last lines before an end are those that matter most.
  return pino({ level, base: { role: name } }, pino.destination({ dest: 2, sync: true }));
}
