import { type Clock, type Repository, UploadNotFoundError } from '../core/index.ts';
import type { CallContext, StorageDriver } from '../driver/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { isNotFound, orUndefined } from './links.ts';

/** How old the note of an upload's last write may be; well below the least age at which uploads are purged. */
export const ACTIVITY_NOTE_MS = 10 * 60 * 1000;

/** Names one upload. */
export interface UploadKey {
  readonly repository: Repository;
  readonly uploadId: string;
}

/** What reads and writes `startedat`. */
interface BeginDeps {
  readonly driver: StorageDriver;
  readonly clock: Clock;
}

/**
 * `_uploads/<id>/startedat`: when an upload began, in distribution's form; without it there is no upload.
 *
 * Its modification time says when the upload was last written to, give or take {@link ACTIVITY_NOTE_MS}: it is put again
 * as it is while bytes come in. So a purge in any process that shares the storage sees who is still at work.
 */
export class UploadBegin {
  readonly #deps: BeginDeps;
  readonly #path: string;
  readonly #content: Buffer;
  #notedAtMs: number;

  private constructor(deps: BeginDeps, path: string, content: Buffer, notedAtMs: number) {
    this.#deps = deps;
    this.#path = path;
    this.#content = content;
    this.#notedAtMs = notedAtMs;
  }

  /** Makes the file of a new upload. */
  static async write({ driver, clock }: BeginDeps, key: UploadKey, context: CallContext): Promise<void> {
    const content = Buffer.from(new Date(clock.nowMs()).toISOString());
    await driver.putContent(formatPath({ kind: 'upload-started-at', ...key }), content, context);
  }

  /** @throws UploadNotFoundError when the upload was never begun, or has ended */
  static async read(deps: BeginDeps, key: UploadKey, context: CallContext): Promise<UploadBegin> {
    const path = formatPath({ kind: 'upload-started-at', ...key });
    try {
      const content = await deps.driver.getContent(path, context);
      return new UploadBegin(deps, path, content, timeOf(content) ?? 0);
    } catch (cause) {
      if (!isNotFound(cause)) throw cause;
      throw new UploadNotFoundError(
        `there is no upload ${key.uploadId} in ${key.repository}: begin one with POST`,
        { uploadId: key.uploadId },
        { cause },
      );
    }
  }

  /** Notes that the upload is being written to; costs nothing when that was noted a moment ago. */
  async noteWrite(context: CallContext): Promise<void> {
    if (!this.#isDue()) return;
    const { driver, clock } = this.#deps;
    const info = await orUndefined(driver.stat(this.#path, context));
    this.#notedAtMs = info?.modTime.getTime() ?? 0;
    if (!this.#isDue()) return;
    await driver.putContent(this.#path, this.#content, context);
    this.#notedAtMs = clock.nowMs();
  }

  #isDue(): boolean {
    return this.#deps.clock.nowMs() - this.#notedAtMs >= ACTIVITY_NOTE_MS;
  }
}

/** The time that a `startedat` holds, in milliseconds since 1970; `undefined` when it holds none. */
export function timeOf(startedAt: Buffer): number | undefined {
  const timeMs = Date.parse(startedAt.toString('utf8').trim());
  return Number.isNaN(timeMs) ? undefined : timeMs;
}
