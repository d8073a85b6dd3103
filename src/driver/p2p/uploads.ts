import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Digest, DigestMismatchError, type Repository, UploadNotFoundError } from '../../core/index.ts';
import { formatPath, type RegistryPath } from '../../pathparser/index.ts';
import { PUSH_PIN } from '../../transfer/index.ts';
import { ConflictError, InvalidPathError, PathNotFoundError, UnsupportedError } from '../index.ts';
import {
  type Call,
  DRIVER_NAME,
  directory,
  type Facts,
  type Handlers,
  type P2pDriverDeps,
  type PathOf,
  pageOf,
} from './handlers.ts';
import { transferContext } from './transfer-context.ts';
import { type UnacknowledgedPush, UnacknowledgedPushes } from './unacknowledged-pushes.ts';
import { UploadFileWriter } from './upload-writer.ts';

interface UploadPath {
  readonly repository: Repository;
  readonly uploadId: string;
}

const STARTED_AT = 'startedat';
const HASH_STATES = 'hashstates/';
const REPOSITORY_HASH_LENGTH = 12;
/** The store takes 128 characters; the repository's hash and a dash come before the upload's own id. */
const UPLOAD_ID_MAX_LENGTH = 128 - REPOSITORY_HASH_LENGTH - 1;

/** Uploads: they live in the local store, and become blobs by a move to a blob's path. */
export function uploadHandlers(
  deps: P2pDriverDeps,
): Handlers<'uploads' | 'upload' | 'upload-data' | 'upload-started-at' | 'upload-hash-states' | 'upload-hash-state'> {
  const uploads = new DriverUploads(deps);
  return {
    uploads: {
      stat: async () => directory,
      list: (path, page, call) => uploads.listIds(path, page, call),
    },
    upload: {
      async stat(path, call) {
        await uploads.factsOf(path, call);
        return directory;
      },
      list: (path, page, call) => uploads.listFiles(path, page, call),
      delete: (path, call) => uploads.cancel(path, call),
    },
    'upload-data': {
      stat: (path, call) => uploads.factsOf(path, call),
      reader: (path, range, call) => uploads.reader(path, range, call),
      writer: (path, options, call) => uploads.writer(path, options, call),
      moveTo: (path, destination, call) => uploads.moveTo(path, destination, call),
    },
    'upload-started-at': {
      stat: (path, call) => uploads.statSidecar(path, STARTED_AT, call),
      getContent: (path, call) => uploads.getSidecar(path, STARTED_AT, call),
      putContent: (path, content, call) => uploads.putSidecar(path, STARTED_AT, content, call),
    },
    'upload-hash-states': {
      async stat(path, call) {
        await uploads.factsOf(path, call);
        return directory;
      },
      list: (path, page, call) => uploads.listHashStates(path, page, call),
    },
    'upload-hash-state': {
      stat: (path, call) => uploads.statSidecar(path, hashStateName(path), call),
      getContent: (path, call) => uploads.getSidecar(path, hashStateName(path), call),
      putContent: (path, content, call) => uploads.putSidecar(path, hashStateName(path), content, call),
    },
  };
}

class DriverUploads {
  readonly #deps: P2pDriverDeps;
  readonly #unacknowledged = new UnacknowledgedPushes();

  constructor(deps: P2pDriverDeps) {
    this.#deps = deps;
  }

  async factsOf(path: UploadPath, call: Call): Promise<Facts> {
    const id = storeId(path, call);
    const push = this.#unacknowledged.find(id);
    if (push !== undefined) return { size: push.sizeBytes, modTime: new Date(0), isDirectory: false };
    const upload = await this.#deps.castore.uploads.find(id);
    if (upload === undefined) throw new PathNotFoundError(DRIVER_NAME, call.path);
    return { size: upload.sizeBytes, modTime: new Date(upload.modifiedAtMs), isDirectory: false };
  }

  async writer(path: UploadPath, { append }: { readonly append: boolean }, call: Call): Promise<UploadFileWriter> {
    const id = storeId(path, call);
    const { uploads } = this.#deps.castore;
    if (append && this.#unacknowledged.find(id) !== undefined) {
      throw new ConflictError(DRIVER_NAME, call.path, 'the upload is complete; move it to its blob, or delete it');
    }
    if (append && (await uploads.find(id))?.isBeingWritten === true) {
      throw new ConflictError(DRIVER_NAME, call.path, 'another writer appends to it now');
    }
    this.#unacknowledged.remove(id);
    return new UploadFileWriter(uploads, id, append ? await uploads.resume(id) : await uploads.create(id));
  }

  async reader(
    path: UploadPath,
    { offset, length }: { readonly offset: number; readonly length?: number },
    call: Call,
  ): Promise<Readable> {
    const { size } = await this.factsOf(path, call);
    const wanted = Math.min(Math.max(0, size - offset), length ?? size);
    if (wanted === 0) return Readable.from([]);
    const id = storeId(path, call);
    const { uploads, blobs } = this.#deps.castore;
    const push = this.#unacknowledged.find(id);
    if (push !== undefined) return blobs.open(push.digest, { offset, length: wanted });
    return uploads.open(id, { offset, length: wanted });
  }

  /**
   * Makes a blob of an upload: verified and synced here, then acknowledged by the origins. When they do not, the upload
   * stays as a complete one, and the same move can be tried again.
   */
  async moveTo(path: UploadPath, destination: RegistryPath, call: Call): Promise<void> {
    if (destination.kind !== 'blob-data') {
      throw new UnsupportedError(DRIVER_NAME, call.path, `move of upload-data to ${destination.kind}`);
    }
    const id = storeId(path, call);
    const { digest } = destination;
    const push = this.#unacknowledged.find(id);
    if (push === undefined) await this.#commit(id, digest);
    else await this.#checkRetry(id, push, digest);
    await this.#deps.transferer.upload(path.repository, digest, transferContext(call));
    this.#unacknowledged.remove(id);
  }

  async cancel(path: UploadPath, call: Call): Promise<void> {
    const id = storeId(path, call);
    if (this.#unacknowledged.remove(id)) return;
    await this.#deps.castore.uploads.cancel(id);
  }

  async getSidecar(path: UploadPath, name: string, call: Call): Promise<Buffer> {
    const content = await this.#findSidecar(storeId(path, call), name);
    if (content === undefined) throw new PathNotFoundError(DRIVER_NAME, call.path);
    return content;
  }

  async statSidecar(path: UploadPath, name: string, call: Call): Promise<Facts> {
    const content = await this.getSidecar(path, name, call);
    const { modTime } = await this.factsOf(path, call);
    return { size: content.length, modTime, isDirectory: false };
  }

  async putSidecar(path: UploadPath, name: string, content: Uint8Array, call: Call): Promise<void> {
    await this.#deps.castore.uploads.putSidecar(storeId(path, call), name, content);
  }

  async *listIds({ repository }: PathOf<'uploads'>, page: { after?: string; limit?: number }, call: Call) {
    const prefix = repositoryPrefix(repository);
    const paths: string[] = [];
    for await (const { id } of this.#deps.castore.uploads.list()) {
      if (id.startsWith(prefix)) paths.push(`${call.path}/${id.slice(prefix.length)}`);
    }
    yield* pageOf(paths.sort(), page);
  }

  async *listFiles(path: UploadPath, page: { after?: string; limit?: number }, call: Call) {
    await this.factsOf(path, call);
    // Hash states stay out: the directory above their algorithms is none of the layout.
    const hasStartedAt = await this.#findSidecar(storeId(path, call), STARTED_AT);
    const names = hasStartedAt === undefined ? ['data'] : ['data', STARTED_AT];
    yield* pageOf(
      names.map((name) => `${call.path}/${name}`),
      page,
    );
  }

  async *listHashStates(path: PathOf<'upload-hash-states'>, page: { after?: string; limit?: number }, call: Call) {
    await this.factsOf(path, call);
    const prefix = `${HASH_STATES}${path.algorithm}/`;
    const names = await this.#deps.castore.uploads.listSidecars(storeId(path, call));
    const paths = names
      .filter((name) => name.startsWith(prefix))
      .map((name) => formatPath({ ...path, kind: 'upload-hash-state', offset: Number(name.slice(prefix.length)) }));
    yield* pageOf(paths.sort(), page);
  }

  async #findSidecar(id: string, name: string): Promise<Buffer | undefined> {
    const push = this.#unacknowledged.find(id);
    if (push === undefined) return this.#deps.castore.uploads.findSidecar(id, name);
    return name === STARTED_AT ? push.startedAt : undefined;
  }

  async #commit(id: string, digest: Digest): Promise<void> {
    const { uploads } = this.#deps.castore;
    const startedAt = await uploads.findSidecar(id, STARTED_AT);
    const { sizeBytes } = await uploads.commit(id, digest, { pin: PUSH_PIN });
    this.#unacknowledged.add(id, { digest, sizeBytes, startedAt });
  }

  /** The same move again: the blob has to be the one that was asked for before, and still in the store. */
  async #checkRetry(id: string, push: UnacknowledgedPush, digest: Digest): Promise<void> {
    if (push.digest !== digest) {
      this.#unacknowledged.remove(id);
      throw new DigestMismatchError(`the upload's bytes are ${push.digest}, expected ${digest}; it was dropped`, {
        expected: digest,
        got: push.digest,
      });
    }
    if ((await this.#deps.castore.blobs.find(digest)) !== undefined) return;
    this.#unacknowledged.remove(id);
    throw new UploadNotFoundError(`the bytes of upload ${id} had to make room; begin it again`, { id });
  }
}

function hashStateName({ algorithm, offset }: PathOf<'upload-hash-state'>): string {
  return `${HASH_STATES}${algorithm}/${offset}`;
}

/** The store knows uploads by id alone; with the repository in it, an upload of one is none of another's. */
function storeId({ repository, uploadId }: UploadPath, { path }: Call): string {
  if (uploadId.length <= UPLOAD_ID_MAX_LENGTH) return `${repositoryPrefix(repository)}${uploadId}`;
  const reason = `an upload id has ${UPLOAD_ID_MAX_LENGTH} characters at most, got ${uploadId.length}`;
  throw new InvalidPathError(DRIVER_NAME, path, reason);
}

function repositoryPrefix(repository: Repository): string {
  return `${createHash('sha256').update(repository).digest('hex').slice(0, REPOSITORY_HASH_LENGTH)}-`;
}
