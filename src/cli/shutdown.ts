import type { Logger } from 'pino';

/** How long a program may take to end before it is ended. */
export const CLOSE_TIMEOUT_MS = 10_000;
/** After everything is closed nothing should hold the process; whatever does gets this long. */
const LINGER_MS = 1_000;
/** One Ctrl-C can arrive twice: from the terminal, and handed on by npm. Within this time it counts once. */
const SAME_KEYPRESS_MS = 500;

const endSignals = ['SIGINT', 'SIGTERM'] as const;

/** Watches for the wish to end. `close` takes its handlers away again. */
export interface ShutdownWatch {
  /** Aborts with the reason (a short text) at the first signal. */
  readonly signal: AbortSignal;
  /** Resolves when it aborts. */
  readonly requested: Promise<void>;
  close(): void;
}

/** What a watch does beside ending at SIGINT and SIGTERM. */
export interface ShutdownWatchOptions {
  /** End with standard input too, by which a program notices that the one that started it is gone, however it went. */
  readonly withStdin?: boolean;
  /** Called when a person asks again. */
  readonly onSecond?: () => void;
  /** Called at SIGHUP, as service managers send it to have a configuration read again; without it SIGHUP ends, too. */
  readonly onHangup?: (() => void) | undefined;
}

/** Begins to watch for signals. */
export function watchShutdown(options: ShutdownWatchOptions = {}): ShutdownWatch {
  const controller = new AbortController();
  let firstMs: number | undefined;
  const ask = (reason: string) => {
    const nowMs = performance.now();
    if (firstMs === undefined) {
      firstMs = nowMs;
      controller.abort(reason);
    } else if (nowMs - firstMs > SAME_KEYPRESS_MS) {
      options.onSecond?.();
    }
  };
  const handlers: [NodeJS.Signals, () => void][] = endSignals.map((name) => [name, () => ask(name)]);
  handlers.push(['SIGHUP', options.onHangup ?? (() => ask('SIGHUP'))]);
  for (const [name, handler] of handlers) process.on(name, handler);
  const onStdinEnd = () => ask('the program that started this one is gone');
  if (options.withStdin === true) process.stdin.on('end', onStdinEnd).on('error', onStdinEnd).resume();
  return {
    signal: controller.signal,
    requested: new Promise((resolve) => {
      controller.signal.addEventListener('abort', () => resolve(), { once: true });
    }),
    close: () => {
      for (const [name, handler] of handlers) process.off(name, handler);
      process.stdin.off('end', onStdinEnd).off('error', onStdinEnd).pause();
    },
  };
}

/** Something that was started and can be ended. */
export interface Closable {
  close(): Promise<void>;
}

/** Ends a program within bounds. @returns the exit status: 0 when it ended by itself in time */
export async function closeWithin(program: Closable, logger: Logger, timeoutMs = CLOSE_TIMEOUT_MS): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), timeoutMs);
  });
  try {
    const result = await Promise.race([program.close().then(() => 'closed' as const), late]);
    if (result === 'closed') return 0;
    logger.error({ timeoutMs }, 'did not end in time; ending anyway');
  } catch (error) {
    logger.error({ err: error }, 'did not end cleanly');
  } finally {
    clearTimeout(timer);
  }
  return 1;
}

/** Ends the process soon, even when something that was forgotten holds it open. */
export function exitSoon(status: number): void {
  setTimeout(() => process.exit(status), LINGER_MS).unref();
}

/** A rejection that nobody handles is a defect: it is logged, and the process ends with status 1. */
export function exitOnDefects(logger: Logger): void {
  const end = (kind: string) => (error: unknown) => {
    logger.fatal({ err: error }, kind);
    process.exit(1);
  };
  process.on('unhandledRejection', end('unhandled rejection'));
  process.on('uncaughtException', end('uncaught exception'));
}
