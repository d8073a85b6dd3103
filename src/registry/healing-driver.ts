import type { Readable } from 'node:stream';
import type { Repository } from '../core/index.ts';
import type { CallContext, FileInfo, ReadRange, StorageDriver } from '../driver/index.ts';
import { DelegatingDriver } from '../driver/index.ts';
import { findPath, formatQuarantinePath } from '../pathparser/index.ts';
import { dropQuarantinedLinks, restoreBlob, restoreLinks } from './quarantine.ts';
import { isNotFound } from './storage-lookup.ts';

/**
 * A backend whose links and blobs come back from the quarantine of garbage collection when they are asked for: what a
 * registry does by itself on its own storage (docs/garbage-collection.md), for the programs of a cluster. What is at its
 * place costs nothing more.
 */
export function healingDriver(driver: StorageDriver): StorageDriver {
  const { anyPath, write } = driver.capabilities;
  return anyPath && write ? new HealingDriver(driver) : driver;
}

/** Further looks, each after something was moved back; a collector moves a thing once a run. */
const LOOKS_MAX = 5;

class HealingDriver extends DelegatingDriver {
  override getContent(path: string, context: CallContext = {}): Promise<Buffer> {
    return this.#healing(path, context, () => this.inner.getContent(path, context));
  }

  override reader(path: string, range: ReadRange, context: CallContext = {}): Promise<Readable> {
    return this.#healing(path, context, () => this.inner.reader(path, range, context));
  }

  override stat(path: string, context: CallContext = {}): Promise<FileInfo> {
    return this.#healing(path, context, () => this.inner.stat(path, context));
  }

  /** A link that is deleted goes from the quarantine too, or the next look would bring it back. */
  override async delete(path: string, context: CallContext = {}): Promise<void> {
    const place = findPath(path);
    if (place?.kind !== 'layer' && place?.kind !== 'revision') {
      await this.inner.delete(path, context);
      if (place?.kind === 'layers' || place?.kind === 'manifests') await this.#dropLinksOf(place.repository, context);
      return;
    }
    const { kind, repository, digest } = place;
    const remove = async (): Promise<unknown> => {
      try {
        await this.inner.delete(path, context);
        return undefined;
      } catch (error) {
        if (isNotFound(error)) return error;
        throw error;
      }
    };
    const missing = await remove();
    const again = async () => (await remove()) === undefined;
    const dropped = await dropQuarantinedLinks(this.inner, kind, digest, { ...context, repository, again });
    if (missing !== undefined && !dropped) throw missing;
  }

  async #healing<T>(path: string, context: CallContext, look: () => Promise<T>): Promise<T> {
    for (let round = 1; ; round += 1) {
      try {
        return await look();
      } catch (error) {
        if (!isNotFound(error) || round === LOOKS_MAX || !(await this.#restore(path, context))) throw error;
      }
    }
  }

  /** @returns whether what belongs at a path may be there now */
  async #restore(path: string, context: CallContext): Promise<boolean> {
    const place = findPath(path);
    switch (place?.kind) {
      case 'blob-data':
        return restoreBlob(this.inner, place.digest, context);
      case 'layer-link':
      case 'revision-link': {
        const kind = place.kind === 'layer-link' ? 'layer' : 'revision';
        const restored = await restoreLinks(this.inner, [kind], place.digest, {
          ...context,
          repository: place.repository,
        });
        // Origins may have the bytes on their own disks, and would never ask for those here.
        if (restored) await restoreBlob(this.inner, place.digest, context);
        return restored;
      }
      default:
        return false;
    }
  }

  async #dropLinksOf(repository: Repository, context: CallContext): Promise<void> {
    try {
      await this.inner.delete(formatQuarantinePath({ kind: 'quarantined-links', repository }), context);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}
