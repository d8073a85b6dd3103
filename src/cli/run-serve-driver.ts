import { defaultDriverFactory, serveDriverProcess } from '../driver/index.ts';
import { readDriverParameters } from './driver-parameters.ts';
import { exitSoon, watchShutdown } from './shutdown.ts';

/** What `shoal driver serve` was told. */
export interface ServeDriverOptions {
  readonly name: string;
  /** Each `key=value`, or a file. */
  readonly parameters: readonly string[];
  /** Whether it was started by somebody else than a registry. */
  readonly isStandalone: boolean;
}

/** Serves a driver until the one who started it is gone, or asks it to end. @throws ConfigError */
export async function runServeDriver({ name, parameters, isStandalone }: ServeDriverOptions): Promise<void> {
  const given = await readDriverParameters(parameters);
  const watch = watchShutdown({ onSecond: () => process.exit(130) });
  try {
    await serveDriverProcess({
      open: (fromInput) => defaultDriverFactory().create(name, { ...given, ...fromInput }),
      environment: process.env,
      stdin: isStandalone ? undefined : process.stdin,
      stdout: process.stdout,
      signal: watch.signal,
    });
  } finally {
    watch.close();
  }
  exitSoon(0);
}
