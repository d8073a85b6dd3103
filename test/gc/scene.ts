import {
  type Clock,
  type Digest,
  type DigestAlgorithm,
  hashBytes,
  mediaTypes,
  parseRepository,
  parseTag,
  type Repository,
} from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { collectGarbage, type GcItem, type GcOptions, type GcReport } from '../../src/gc/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';

export const HOUR_MS = 60 * 60 * 1000;
export const DAY_MS = 24 * HOUR_MS;

/** What a manifest consists of. */
export interface Parts {
  readonly layers?: readonly Digest[];
  readonly foreignLayers?: readonly Digest[];
  readonly subject?: Digest | undefined;
  readonly tags?: readonly string[];
  readonly algorithm?: DigestAlgorithm;
}

/** Files of a registry, written as the registry writes them, and collections of them at any time. */
export class Scene {
  readonly driver: StorageDriver;
  /** How far the collector's clock is ahead, in milliseconds: that is how things get old. */
  aheadMs = 0;
  #count = 0;

  constructor(driver: StorageDriver) {
    this.driver = driver;
  }

  /** A clock that is ahead of the machine's. */
  get clock(): Clock {
    return { nowMs: () => Date.now() + this.aheadMs, monotonicMs: () => performance.now() };
  }

  /** One collection; a day of grace, a day of quarantine. */
  collect(options: Partial<GcOptions> = {}): Promise<GcReport> {
    return collectGarbage({
      driver: this.driver,
      graceMs: DAY_MS,
      quarantineMs: DAY_MS,
      clock: this.clock,
      ...options,
    });
  }

  /** A collection a little more than a day after the last one. */
  collectLater(options: Partial<GcOptions> = {}): Promise<GcReport> {
    this.aheadMs += DAY_MS + HOUR_MS;
    return this.collect(options);
  }

  /** The bytes of a blob that nothing links. */
  async blob(text: string, algorithm: DigestAlgorithm = 'sha256'): Promise<Digest> {
    const bytes = Buffer.from(text);
    const digest = hashBytes(bytes, algorithm);
    await this.driver.putContent(formatPath({ kind: 'blob-data', digest }), bytes);
    return digest;
  }

  async link(name: string, kind: 'layer' | 'revision', digest: Digest, content: string = digest): Promise<void> {
    const path = formatPath({ kind: `${kind}-link`, repository: parseRepository(name), digest });
    await this.driver.putContent(path, Buffer.from(content));
  }

  /** A blob of a repository. */
  async layer(name: string, text: string, algorithm: DigestAlgorithm = 'sha256'): Promise<Digest> {
    const digest = await this.blob(text, algorithm);
    await this.link(name, 'layer', digest);
    return digest;
  }

  /** An image with a config of its own. */
  async image(name: string, parts: Parts = {}): Promise<Digest> {
    const { algorithm = 'sha256' } = parts;
    const config = await this.layer(name, `config ${name} ${this.#count++}`, algorithm);
    const layers = [
      ...(parts.layers ?? []).map((digest) => ({ mediaType: mediaTypes.ociLayerTar, digest, size: 1 })),
      ...(parts.foreignLayers ?? []).map((digest) => ({ mediaType: mediaTypes.dockerForeignLayer, digest, size: 1 })),
    ];
    const document = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: config, size: 1 },
      layers,
    };
    return this.manifest(name, document, parts);
  }

  /** An index of other manifests. */
  async index(name: string, children: readonly Digest[], parts: Parts = {}): Promise<Digest> {
    const manifests = children.map((digest) => ({ mediaType: mediaTypes.ociManifest, digest, size: 1 }));
    const document = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests,
      annotations: { n: `${this.#count++}` },
    };
    return this.manifest(name, document, parts);
  }

  /** Any document as a manifest of a repository. */
  async manifest(name: string, document: object, parts: Parts = {}): Promise<Digest> {
    const { subject, tags = [], algorithm = 'sha256' } = parts;
    const mediaType = mediaTypes.ociManifest;
    const whole = subject === undefined ? document : { ...document, subject: { mediaType, digest: subject, size: 1 } };
    const digest = await this.blob(JSON.stringify(whole), algorithm);
    await this.link(name, 'revision', digest);
    const repository = parseRepository(name);
    if (subject !== undefined) {
      const path = formatPath({ kind: 'referrer-link', repository, subject, digest });
      await this.driver.putContent(path, Buffer.from(digest));
    }
    for (const tag of tags) await this.tag(name, tag, digest);
    return digest;
  }

  async tag(name: string, text: string, digest: Digest): Promise<void> {
    const at = { repository: parseRepository(name), tag: parseTag(text) };
    await this.driver.putContent(formatPath({ kind: 'tag-index-link', ...at, digest }), Buffer.from(digest));
    await this.driver.putContent(formatPath({ kind: 'tag-current-link', ...at }), Buffer.from(digest));
  }

  async untag(name: string, text: string): Promise<void> {
    await this.driver.delete(formatPath({ kind: 'tag', repository: parseRepository(name), tag: parseTag(text) }));
  }

  /** Whether the bytes of a blob are at their place. */
  hasBlob(digest: Digest): Promise<boolean> {
    return this.has(formatPath({ kind: 'blob-data', digest }));
  }

  /** Whether a link is at its place. */
  hasLink(name: string, kind: 'layer' | 'revision', digest: Digest): Promise<boolean> {
    return this.has(formatPath({ kind: `${kind}-link`, repository: parseRepository(name), digest }));
  }

  async has(path: string): Promise<boolean> {
    try {
      return !(await this.driver.stat(path)).isDirectory;
    } catch {
      // Whatever the driver says to a path that is not there.
      return false;
    }
  }

  /** Every object with its content. */
  async snapshot(): Promise<Map<string, string>> {
    return snapshotOf(this.driver);
  }
}

/** Every object of a driver with its content and time. */
export async function snapshotOf(driver: StorageDriver): Promise<Map<string, string>> {
  const objects = new Map<string, string>();
  for await (const { path, isDirectory, modTime } of driver.walk('/')) {
    if (isDirectory) continue;
    objects.set(path, `${(await driver.getContent(path)).toString('latin1')} ${modTime.getTime()}`);
  }
  return objects;
}

/** What a report says in short: `quarantine blob sha256:… unlinked`. */
export function linesOf({ items }: GcReport): string[] {
  return items.map(({ action, object, digest, reason }) => `${action} ${object} ${digest} ${reason}`).sort();
}

/** The digests of one kind of item. */
export function digestsOf(report: GcReport, wanted: Partial<GcItem>): Set<Digest> {
  const keys = Object.keys(wanted) as (keyof GcItem)[];
  const items = report.items.filter((item) => keys.every((key) => item[key] === wanted[key]));
  return new Set(items.map(({ digest }) => digest));
}

export type { Repository };
