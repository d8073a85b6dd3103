import type { UploadStore } from '../castore/index.ts';
import type { UnfinishedUploads } from '../registry/index.ts';

/**
 * All uploads of a proxy: they are in its own store, whichever repository they are for, so there is no need to walk through
 * the repositories of the whole cluster. The store knows when each was last written to.
 */
export function storeUploads(uploads: UploadStore): UnfinishedUploads {
  return async function* () {
    for await (const { id, modifiedAtMs } of uploads.list()) {
      yield {
        name: id,
        lastActivityMs: modifiedAtMs,
        async remove() {
          // Written to since it was listed: not abandoned after all.
          const now = await uploads.find(id);
          if (now?.modifiedAtMs !== modifiedAtMs || now.isBeingWritten) return false;
          await uploads.cancel(id);
          return true;
        },
      };
    }
  };
}
