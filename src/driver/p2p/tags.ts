import { findDigest, systemClock } from '../../core/index.ts';
import { formatPath } from '../../pathparser/index.ts';
import { InvalidPathError } from '../index.ts';
import { changingFile, DRIVER_NAME, directory, type Handlers, type P2pDriverDeps, pageOf } from './handlers.ts';
import { checkLinkContent } from './links.ts';
import { checkRepositoryExists } from './repositories.ts';
import { transferContext } from './transfer-context.ts';

/** Tags: the build-index has them; a tag's history (`index`) is written by the build-index with the tag itself. */
export function tagHandlers({
  transferer,
  clock = systemClock,
}: P2pDriverDeps): Handlers<
  'tags' | 'tag' | 'tag-current' | 'tag-current-link' | 'tag-index' | 'tag-index-entry' | 'tag-index-link'
> {
  return {
    tags: {
      async stat({ repository }, call) {
        await checkRepositoryExists(transferer, repository, call);
        return directory;
      },
      async *list({ repository }, { after, limit }, call) {
        const prefix = `${call.path}/`;
        // The names of a directory sort as its full paths do; what is before the directory is before all of them.
        if (after !== undefined && !after.startsWith(prefix) && after > prefix) return;
        const page = {
          ...(after?.startsWith(prefix) ? { after: after.slice(prefix.length) } : {}),
          ...(limit === undefined ? {} : { limit }),
        };
        for await (const tag of transferer.listTags(repository, page, transferContext(call))) yield `${prefix}${tag}`;
      },
    },
    tag: {
      async stat({ repository, tag }, call) {
        await transferer.getTag(repository, tag, transferContext(call));
        return directory;
      },
      async *list({ repository, tag }, page, call) {
        await transferer.getTag(repository, tag, transferContext(call));
        yield* pageOf([formatPath({ kind: 'tag-current', repository, tag })], page);
      },
      async delete({ repository, tag }, call) {
        await transferer.deleteTag(repository, tag, transferContext(call));
      },
    },
    'tag-current': {
      async stat({ repository, tag }, call) {
        await transferer.getTag(repository, tag, transferContext(call));
        return directory;
      },
      async *list({ repository, tag }, page, call) {
        await transferer.getTag(repository, tag, transferContext(call));
        yield* pageOf([formatPath({ kind: 'tag-current-link', repository, tag })], page);
      },
    },
    'tag-current-link': {
      async stat({ repository, tag }, call) {
        const digest = await transferer.getTag(repository, tag, transferContext(call));
        return changingFile(digest.length, clock);
      },
      async getContent({ repository, tag }, call) {
        return Buffer.from(await transferer.getTag(repository, tag, transferContext(call)));
      },
      async putContent({ repository, tag }, content, call) {
        const text = Buffer.from(content).toString('utf8');
        const digest = findDigest(text);
        if (digest === undefined) {
          const reason = `a tag's link names a digest, got "${text.slice(0, 150)}"`;
          throw new InvalidPathError(DRIVER_NAME, call.path, reason);
        }
        await transferer.putTag(repository, tag, digest, transferContext(call));
      },
    },
    'tag-index': {},
    'tag-index-entry': {},
    'tag-index-link': {
      // Accepted and not passed on: the write of the current link that follows makes the build-index write both, after it
      // has checked what the manifest needs. A history entry of a tag that was then refused would be a lie.
      async putContent({ digest }, content, call) {
        checkLinkContent(digest, content, call);
      },
    },
  };
}
