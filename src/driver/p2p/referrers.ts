import { algorithmOf, type Digest, digestAlgorithms, type Repository } from '../../core/index.ts';
import { formatPath } from '../../pathparser/index.ts';
import { PathNotFoundError } from '../index.ts';
import {
  type Call,
  DRIVER_NAME,
  directory,
  type Handlers,
  immutableFile,
  type P2pDriverDeps,
  type PathOf,
  pageOf,
  pageOfStream,
} from './handlers.ts';
import { checkLinkContent } from './links.ts';
import { transferContext } from './transfer-context.ts';

interface ReferrerPath {
  readonly repository: Repository;
  readonly subject: Digest;
  readonly digest: Digest;
}

/** Referrers: which manifests name another one as their subject. The build-index has them. */
export function referrerHandlers(deps: P2pDriverDeps): Handlers<'referrers' | 'referrer' | 'referrer-link'> {
  const { transferer } = deps;
  return {
    referrers: {
      async stat(path, call) {
        for await (const _child of childrenOf(deps, path, call)) return directory;
        throw new PathNotFoundError(DRIVER_NAME, call.path);
      },
      async *list(path, page, call) {
        let any = false;
        const seen = async function* () {
          for await (const child of childrenOf(deps, path, call)) {
            any = true;
            yield child;
          }
        };
        yield* pageOfStream(seen(), page);
        if (!any && page.limit !== 0) throw new PathNotFoundError(DRIVER_NAME, call.path);
      },
    },
    referrer: {
      async stat(path, call) {
        await checkReferrer(deps, path, call);
        return directory;
      },
      async *list(path, page, call) {
        await checkReferrer(deps, path, call);
        yield* pageOf([`${call.path}/link`], page);
      },
      async delete({ repository, subject, digest }, call) {
        await transferer.deleteReferrer(repository, subject, digest, transferContext(call));
      },
    },
    'referrer-link': {
      async stat(path, call) {
        await checkReferrer(deps, path, call);
        return immutableFile(path.digest.length);
      },
      async getContent(path, call) {
        await checkReferrer(deps, path, call);
        return Buffer.from(path.digest);
      },
      async putContent({ repository, subject, digest }, content, call) {
        checkLinkContent(digest, content, call);
        await transferer.putReferrer(repository, subject, digest, transferContext(call));
      },
      async delete({ repository, subject, digest }, call) {
        await transferer.deleteReferrer(repository, subject, digest, transferContext(call));
      },
    },
  };
}

/** Full paths: the algorithms of a subject's referrers, or the referrers of one algorithm. */
async function* childrenOf(
  { transferer }: P2pDriverDeps,
  { repository, subject, algorithm }: PathOf<'referrers'>,
  call: Call,
): AsyncIterable<string> {
  const referrers = transferer.listReferrers(repository, subject, transferContext(call));
  if (algorithm === undefined) {
    const found = new Set<string>();
    for await (const digest of referrers) {
      found.add(algorithmOf(digest));
      if (found.size === digestAlgorithms.length) break;
    }
    yield* [...found].sort().map((name) => `${call.path}/${name}`);
    return;
  }
  for await (const digest of referrers) {
    if (algorithmOf(digest) === algorithm) yield formatPath({ kind: 'referrer', repository, subject, digest });
  }
}

async function checkReferrer({ transferer }: P2pDriverDeps, path: ReferrerPath, call: Call): Promise<void> {
  const { repository, subject, digest } = path;
  for await (const referrer of transferer.listReferrers(repository, subject, transferContext(call))) {
    if (referrer === digest) return;
  }
  throw new PathNotFoundError(DRIVER_NAME, call.path);
}
