import { type Digest, digestAlgorithms, makeDigest, type Repository } from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { forEachConcurrently } from './concurrently.ts';
import type { ManifestGraph } from './manifest-graph.ts';
import { isLinked } from './presence.ts';
import type { GcObject } from './report.ts';
import { type GcRun, isYoung } from './run.ts';

/** Removes referrer entries of manifests that are gone, and writes those that a manifest with a subject lacks. */
export async function sweepReferrers(run: GcRun, repository: Repository, { nodes }: ManifestGraph): Promise<void> {
  await forEachConcurrently(nodes.values(), run.concurrency, async ({ digest, subject, kept }) => {
    if (!kept || subject === undefined) return;
    const path = formatPath({ kind: 'referrer-link', repository, subject, digest });
    if ((await run.storage.find(path)) !== undefined) return;
    // Deleted meanwhile: whoever did has taken the entry away on purpose.
    if (!run.storage.dryRun && !(await isLinked(run, repository, digest))) return;
    await run.storage.put(path, Buffer.from(digest));
    run.report.add({ action: 'restore', object: 'referrer', reason: 'not-listed', repository, digest });
  });
  const top = `${formatPath({ kind: 'repository', repository })}/_referrers`;
  for await (const algorithm of run.storage.names(top)) {
    for await (const hex of run.storage.names(`${top}/${algorithm}`)) {
      const subject = makeDigest(algorithm, hex);
      if (subject === undefined) continue;
      const directory = formatPath({ kind: 'referrers', repository, subject });
      await sweepEntries(run, repository, { nodes, directory, object: 'referrer' });
    }
  }
}

/** Removes entries of the histories of tags whose manifests are gone; what a tag points at is never touched. */
export async function sweepTagHistory(
  run: GcRun,
  repository: Repository,
  { nodes, tags }: ManifestGraph,
): Promise<void> {
  await forEachConcurrently(tags, run.concurrency, async (tag) => {
    const directory = formatPath({ kind: 'tag-index', repository, tag });
    await sweepEntries(run, repository, { nodes, directory, object: 'tag-history' });
  });
}

async function sweepEntries(
  run: GcRun,
  repository: Repository,
  entries: {
    readonly nodes: ManifestGraph['nodes'];
    /** Holds `<alg>/<hex>/link`. */
    readonly directory: string;
    readonly object: GcObject;
  },
): Promise<void> {
  const { nodes, directory, object } = entries;
  for (const algorithm of digestAlgorithms) {
    for await (const hex of run.storage.names(`${directory}/${algorithm}`)) {
      const digest = makeDigest(algorithm, hex);
      if (digest === undefined || nodes.has(digest)) continue;
      await sweepEntry(run, repository, { digest, path: `${directory}/${algorithm}/${hex}/link`, object });
    }
  }
}

/**
 * Removes one entry. A registry writes the manifest before its entries, so one that was written just before the deletion
 * is found by looking for the manifest after it, and gets its entry back. When this process dies between the two, the next
 * run puts it back (see {@link sweepReferrers}).
 */
async function sweepEntry(
  run: GcRun,
  repository: Repository,
  { digest, path, object }: { readonly digest: Digest; readonly path: string; readonly object: GcObject },
): Promise<void> {
  const info = await run.storage.find(path);
  if (info === undefined || isYoung(run, info.modTime)) return;
  if ((await isLinked(run, repository, digest)) || (await isAside(run, repository, digest))) return;
  if (!(await run.storage.remove(path))) return;
  if (!run.storage.dryRun && (await isLinked(run, repository, digest))) {
    await run.storage.put(path, Buffer.from(digest));
    return;
  }
  run.report.add({ action: 'delete', object, reason: 'manifest-gone', repository, digest });
}

async function isAside(run: GcRun, repository: Repository, digest: Digest): Promise<boolean> {
  const entries = await run.quarantine.linkEntries(repository, digest);
  return entries.some(({ what }) => what === 'revision');
}
