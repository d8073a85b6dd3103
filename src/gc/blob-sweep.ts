import { type Digest, digestAlgorithms, makeDigest } from '../core/index.ts';
import { formatPath, formatQuarantinePath } from '../pathparser/index.ts';
import { forEachConcurrently } from './concurrently.ts';
import { type GcRun, isYoung } from './run.ts';

/**
 * Sweeps the blobs, once all repositories are marked: first what is in quarantine, then what is at its place and linked by
 * nobody.
 */
export async function sweepBlobs(run: GcRun): Promise<void> {
  await forEachConcurrently(run.quarantine.blobs(), run.concurrency, (digest) => sweepAside(run, digest));
  for (const algorithm of digestAlgorithms) {
    const top = formatPath({ kind: 'blobs', algorithm });
    for await (const prefix of run.storage.names(top)) {
      await forEachConcurrently(run.storage.names(`${top}/${prefix}`), run.concurrency, async (hex) => {
        const digest = makeDigest(algorithm, hex);
        if (digest !== undefined && hex.startsWith(prefix)) await sweepBlob(run, digest);
      });
    }
  }
}

async function sweepBlob(run: GcRun, digest: Digest): Promise<void> {
  run.report.seen.blobs += 1;
  run.onProgress();
  if (run.linked.has(digest)) return;
  const info = await run.storage.find(formatPath({ kind: 'blob-data', digest }));
  if (info === undefined || isYoung(run, info.modTime)) return;
  if (!(await run.quarantine.putBlobAside(digest))) return;
  run.report.add({ action: 'quarantine', object: 'blob', reason: 'unlinked', digest, sizeBytes: info.size });
}

async function sweepAside(run: GcRun, digest: Digest): Promise<void> {
  const linked = run.linked.has(digest);
  for (const entry of await run.quarantine.blobEntries(digest)) {
    const path = formatQuarantinePath({ kind: 'quarantined-blob-entry', digest, entry });
    if (entry.what !== 'data') {
      if (entry.atMs > run.expiredUpToMs || !(await run.storage.remove(path))) continue;
      run.report.add({ action: 'delete', object: 'note', reason: 'expired', digest });
      continue;
    }
    const place = formatPath({ kind: 'blob-data', digest });
    const atPlace = (await run.storage.find(place)) !== undefined;
    if (linked && !atPlace) {
      if (run.storage.dryRun && run.looked.has(digest)) continue;
      if (await run.quarantine.moveBlobBack({ digest, entry })) {
        run.report.add({ action: 'restore', object: 'blob', reason: 'referenced', digest });
      }
      continue;
    }
    // As long as a link in quarantine leads to it, both can come back.
    if (entry.atMs > run.expiredUpToMs || (!atPlace && run.linkedInQuarantine.has(digest))) continue;
    const info = await run.storage.find(path);
    if (info === undefined || !(await run.storage.remove(path))) continue;
    const reason = atPlace ? 'superfluous' : 'expired';
    run.report.add({ action: 'delete', object: 'blob', reason, digest, sizeBytes: info.size });
    // It describes bytes that are gone; whoever has them again makes it again.
    if (!atPlace && !run.storage.dryRun) await run.storage.remove(formatPath({ kind: 'blob-metainfo', digest }));
  }
}
