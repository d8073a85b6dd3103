import { type Digest, findTag, type Repository, type Tag } from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { forEachConcurrently } from './concurrently.ts';
import type { GcRun } from './run.ts';

/** The tags of a repository, and what they point at. Fallback tags of referrers (`<alg>-<hex>`) are tags like all others. */
export async function tagsOf(
  run: GcRun,
  repository: Repository,
): Promise<{ readonly tags: readonly Tag[]; readonly tagged: ReadonlySet<Digest> }> {
  const tags: Tag[] = [];
  const tagged = new Set<Digest>();
  const names = run.storage.names(formatPath({ kind: 'tags', repository }));
  await forEachConcurrently(names, run.concurrency, async (name) => {
    const tag = findTag(name);
    if (tag === undefined) return;
    tags.push(tag);
    const link = await run.storage.readLink(formatPath({ kind: 'tag-current-link', repository, tag }));
    if (link?.digest !== undefined) tagged.add(link.digest);
    else if (link !== undefined) {
      const message = `the link of the tag ${tag} holds no digest`;
      run.report.problem({ kind: 'tag-dangling', repository, message });
    }
  });
  return { tags, tagged };
}
