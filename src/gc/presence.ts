import type { Digest, Repository } from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import type { GcRun } from './run.ts';

/**
 * Sees to it that the bytes of a blob that is linked are at their place: brings them back from the quarantine, or reports
 * that they are nowhere. Each blob is looked for once in a run, however many repositories share it.
 */
export async function bringBlob(
  run: GcRun,
  stored: Digest,
  link: { readonly repository: Repository; readonly digest: Digest; readonly what: 'layer' | 'revision' },
): Promise<void> {
  if (!run.looked.add(stored)) return;
  const place = formatPath({ kind: 'blob-data', digest: stored });
  if ((await run.storage.find(place)) !== undefined) return;
  for (const entry of await run.quarantine.blobEntries(stored)) {
    if (entry.what !== 'data') continue;
    if (await run.quarantine.moveBlobBack({ digest: stored, entry })) {
      run.report.add({ action: 'restore', object: 'blob', reason: 'referenced', digest: stored });
      return;
    }
  }
  // A registry may have moved it back meanwhile, or the link may have been deleted.
  if ((await run.storage.find(place)) !== undefined) return;
  const { repository, digest, what } = link;
  if ((await run.storage.find(formatPath({ kind: `${what}-link`, repository, digest }))) === undefined) return;
  const message = `${repository} links ${digest} as a ${what === 'layer' ? 'blob' : 'manifest'}, but its bytes are missing`;
  run.report.problem({ kind: 'blob-missing', repository, digest, message });
}

/** Whether a repository has a manifest at its place at this moment. */
export async function isLinked(run: GcRun, repository: Repository, digest: Digest): Promise<boolean> {
  return (await run.storage.find(formatPath({ kind: 'revision-link', repository, digest }))) !== undefined;
}
