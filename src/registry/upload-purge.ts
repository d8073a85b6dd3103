import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Counter, type Registry } from 'prom-client';
import { type Clock, systemClock } from '../core/index.ts';

/** An upload that has not ended, as a purge looks at it. */
export interface UnfinishedUpload {
  /** For the log. */
  readonly name: string;
  /** When it was begun or last written to, whichever is later, in milliseconds since 1970; `undefined` when nobody knows. */
  readonly lastActivityMs: number | undefined;
  /** Removes it with its bytes; false when it is gone already, or was not abandoned after all. */
  remove(signal: AbortSignal): Promise<boolean>;
}

/** Where the uploads are that a purge goes through: one after the other, never all in memory. */
export type UnfinishedUploads = (signal: AbortSignal) => AsyncIterable<UnfinishedUpload>;

/** What a purge needs. */
export interface UploadPurgeOptions {
  /** `driverUploads` for a storage driver; a proxy lists its own store. */
  readonly uploads: UnfinishedUploads;
  readonly logger: Logger;
  /** Uploads without activity for longer than this are removed, in milliseconds. */
  readonly maxAgeMs: number;
  /** From the end of one purge to the next, in milliseconds; 0 never purges. */
  readonly purgeIntervalMs: number;
  /** Where the counter goes; it must not have it yet. */
  readonly metrics?: Registry | undefined;
  /** Default: the machine's. */
  readonly clock?: Clock | undefined;
  /** From 0 to 1, for the wait before the first purge. Default: `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/** What one purge did. */
export interface UploadPurgeResult {
  readonly seen: number;
  readonly purged: number;
  /** Uploads that could not be removed; the next purge tries again. */
  readonly failed: number;
  /** Uploads that stay because nobody knows how old they are. */
  readonly ageUnknown: number;
}

/** The first purge comes within this time, at a moment of its own in each process, so that not all begin at once. */
const FIRST_PURGE_WITHIN_MS = 60 * 60 * 1000;

/** Node's timers take no more than 2^31 - 1 ms, which is 24 days. */
const LONGEST_WAIT_MS = 2 ** 31 - 1;

/**
 * Removes abandoned uploads in the background, again and again, until it is disposed; that ends a purge on its way, and
 * waits for it. A purge that fails is logged and tried again at its next time.
 */
export function startUploadPurge(options: UploadPurgeOptions): AsyncDisposable {
  const { purgeIntervalMs, metrics, random = Math.random } = options;
  const purged = metrics === undefined ? undefined : makeCounter(metrics);
  const closing = new AbortController();
  const run = async () => {
    if (purgeIntervalMs === 0) return;
    await wait(random() * Math.min(purgeIntervalMs, FIRST_PURGE_WITHIN_MS), closing.signal);
    while (!closing.signal.aborted) {
      await purgeOnce(options, purged, closing.signal);
      await wait(purgeIntervalMs, closing.signal);
    }
  };
  const running = run();
  return {
    async [Symbol.asyncDispose]() {
      closing.abort(new Error('the purge of uploads ends'));
      await running;
    },
  };
}

/**
 * Goes once through all uploads, and removes those without activity for longer than `maxAgeMs`. One whose activity nobody
 * knows stays. @throws what the listing throws, and the signal's reason
 */
export async function purgeUploads(
  { uploads, logger, maxAgeMs, clock = systemClock }: Omit<UploadPurgeOptions, 'purgeIntervalMs'>,
  signal: AbortSignal,
): Promise<UploadPurgeResult> {
  const result = { seen: 0, purged: 0, failed: 0, ageUnknown: 0 };
  for await (const upload of uploads(signal)) {
    signal.throwIfAborted();
    result.seen += 1;
    if (upload.lastActivityMs === undefined) {
      result.ageUnknown += 1;
      logger.warn(
        { upload: upload.name },
        'an upload stays whose age nobody knows; remove it by hand if it is not needed',
      );
      continue;
    }
    const ageMs = clock.nowMs() - upload.lastActivityMs;
    if (ageMs <= maxAgeMs) continue;
    try {
      if (!(await upload.remove(signal))) continue;
      result.purged += 1;
      logger.debug({ upload: upload.name, ageMs }, 'an abandoned upload has been removed');
    } catch (error) {
      signal.throwIfAborted();
      result.failed += 1;
      logger.warn({ err: error, upload: upload.name }, 'an abandoned upload could not be removed');
    }
  }
  return result;
}

/** Never rejects: the next purge comes all the same. */
async function purgeOnce(options: UploadPurgeOptions, purged: Counter | undefined, signal: AbortSignal): Promise<void> {
  const { logger } = options;
  try {
    const result = await purgeUploads(options, signal);
    purged?.inc(result.purged);
    logger.info({ ...result, maxAgeMs: options.maxAgeMs }, 'abandoned uploads have been looked for');
  } catch (error) {
    if (!signal.aborted)
      logger.error({ err: error }, 'abandoned uploads could not be looked for; the next time they are');
  }
}

/** Does not keep the process alive, and ends early without an error. */
async function wait(timeMs: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(Math.min(timeMs, LONGEST_WAIT_MS), undefined, { ref: false, signal });
  } catch {
    // Disposed: the loop sees the signal.
  }
}

function makeCounter(metrics: Registry): Counter {
  return new Counter({
    name: 'shoal_registry_uploads_purged_total',
    help: 'Abandoned uploads that were removed because of their age.',
    registers: [metrics],
  });
}
