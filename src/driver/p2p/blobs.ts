import { Readable } from 'node:stream';
import type { Repository } from '../../core/index.ts';
import { PUSH_PIN } from '../../transfer/index.ts';
import { InvalidPathError, UnsupportedError } from '../index.ts';
import { type Call, DRIVER_NAME, directory, type Handlers, immutableFile, type P2pDriverDeps } from './handlers.ts';
import { transferContext } from './transfer-context.ts';

/** What `getContent` takes into memory at most: manifests have 4 MiB at most (OCI distribution specification 1.1). */
const CONTENT_MAX_BYTES = 16 * 1024 * 1024;

/** Blobs: their bytes come and go by the transferer, for the repository that the call names. */
export function blobHandlers({ transferer, castore }: P2pDriverDeps): Handlers<'blob' | 'blob-data' | 'blob-metainfo'> {
  return {
    blob: {
      async stat({ digest }, call) {
        await transferer.stat(repositoryOf(call), digest, transferContext(call));
        return directory;
      },
      async delete(_path, { path }) {
        throw new UnsupportedError(
          DRIVER_NAME,
          path,
          'delete of a blob (unlink it; its bytes go by garbage collection)',
        );
      },
    },
    'blob-data': {
      async stat({ digest }, call) {
        const { repository } = call.context;
        const { sizeBytes } =
          repository === undefined
            ? await transferer.locate(digest, transferContext(call))
            : await transferer.stat(repository, digest, transferContext(call));
        return immutableFile(sizeBytes);
      },
      async getContent({ digest }, call) {
        const repository = repositoryOf(call);
        const { sizeBytes } = await transferer.stat(repository, digest, transferContext(call));
        if (sizeBytes > CONTENT_MAX_BYTES) {
          const what = `getContent of ${sizeBytes} bytes (${CONTENT_MAX_BYTES} at most; use reader)`;
          throw new UnsupportedError(DRIVER_NAME, call.path, what);
        }
        const chunks: Buffer[] = [];
        const stream = await transferer.open(repository, digest, undefined, transferContext(call));
        for await (const chunk of stream) chunks.push(chunk as Buffer);
        return Buffer.concat(chunks);
      },
      async reader({ digest }, { offset, length }, call) {
        const repository = repositoryOf(call);
        const { sizeBytes } = await transferer.stat(repository, digest, transferContext(call));
        const left = Math.max(0, sizeBytes - offset);
        const wanted = Math.min(left, length ?? left);
        if (wanted === 0 && sizeBytes > 0) return Readable.from([]);
        return transferer.open(
          repository,
          digest,
          { offset: Math.min(offset, sizeBytes), length: wanted },
          transferContext(call),
        );
      },
      async putContent({ digest }, content, call) {
        const repository = repositoryOf(call);
        const { signal } = call.context;
        await castore.blobs.put(digest, content, { pin: PUSH_PIN, ...(signal === undefined ? {} : { signal }) });
        await transferer.upload(repository, digest, transferContext(call));
      },
      async delete(_path, { path }) {
        throw new UnsupportedError(
          DRIVER_NAME,
          path,
          'delete of a blob (unlink it; its bytes go by garbage collection)',
        );
      },
    },
    'blob-metainfo': {},
  };
}

/** @throws InvalidPathError when the call names no repository */
function repositoryOf({ path, context }: Call): Repository {
  if (context.repository !== undefined) return context.repository;
  const reason = 'a blob is read and written for a repository: expected context.repository, got none';
  throw new InvalidPathError(DRIVER_NAME, path, reason);
}
