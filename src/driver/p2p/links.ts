import type { Digest, Repository } from '../../core/index.ts';
import type { LinkKind } from '../../transfer/index.ts';
import { InvalidPathError, PathNotFoundError } from '../index.ts';
import {
  type Call,
  DRIVER_NAME,
  directory,
  type Handlers,
  immutableFile,
  type KindHandlers,
  type P2pDriverDeps,
  pageOf,
} from './handlers.ts';
import { checkRepositoryExists } from './repositories.ts';
import { transferContext } from './transfer-context.ts';

interface LinkPath {
  readonly repository: Repository;
  readonly digest: Digest;
}

/** Links of layers and of manifest revisions: the build-index has them, under the digest that the path names. */
export function linkHandlers(
  deps: P2pDriverDeps,
): Handlers<'layers' | 'layer' | 'layer-link' | 'revisions' | 'revision' | 'revision-link'> {
  const group: KindHandlers<{ repository: Repository }> = {
    async stat({ repository }, call) {
      await checkRepositoryExists(deps.transferer, repository, call);
      return directory;
    },
  };
  return {
    layers: group,
    layer: linkDirectory(deps, 'layer'),
    'layer-link': linkFile(deps, 'layer'),
    revisions: group,
    revision: linkDirectory(deps, 'revision'),
    'revision-link': linkFile(deps, 'revision'),
  };
}

function linkDirectory(deps: P2pDriverDeps, kind: LinkKind): KindHandlers<LinkPath> {
  return {
    async stat(path, call) {
      await checkLinked(deps, kind, path, call);
      return directory;
    },
    async *list(path, page, call) {
      await checkLinked(deps, kind, path, call);
      yield* pageOf([`${call.path}/link`], page);
    },
    delete: (path, call) => unlink(deps, kind, path, call),
  };
}

function linkFile(deps: P2pDriverDeps, kind: LinkKind): KindHandlers<LinkPath> {
  return {
    async stat(path, call) {
      await checkLinked(deps, kind, path, call);
      return immutableFile(path.digest.length);
    },
    async getContent(path, call) {
      await checkLinked(deps, kind, path, call);
      return Buffer.from(path.digest);
    },
    async putContent({ repository, digest }, content, call) {
      checkLinkContent(digest, content, call);
      await deps.transferer.link(repository, kind, digest, transferContext(call));
    },
    delete: (path, call) => unlink(deps, kind, path, call),
  };
}

async function unlink({ transferer }: P2pDriverDeps, kind: LinkKind, path: LinkPath, call: Call): Promise<void> {
  await transferer.unlink(path.repository, kind, path.digest, transferContext(call));
}

async function checkLinked({ transferer }: P2pDriverDeps, kind: LinkKind, path: LinkPath, call: Call): Promise<void> {
  if (await transferer.hasLink(path.repository, kind, path.digest, transferContext(call))) return;
  throw new PathNotFoundError(DRIVER_NAME, call.path);
}

/** A link's path says all that its content may say. @throws InvalidPathError */
export function checkLinkContent(digest: Digest, content: Uint8Array, { path }: Call): void {
  const text = Buffer.from(content).toString('utf8');
  if (text === digest) return;
  const reason = `a link's content is the digest of its path: expected "${digest}", got "${text.slice(0, 150)}"`;
  throw new InvalidPathError(DRIVER_NAME, path, reason);
}
