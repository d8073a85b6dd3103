import type { Digest, Repository } from '../core/index.ts';
import { formatPath, formatQuarantinePath, type QuarantineEntry } from '../pathparser/index.ts';
import { forEachConcurrently } from './concurrently.ts';
import { DigestSet } from './digest-set.ts';
import type { ManifestGraph, ManifestNode } from './manifest-graph.ts';
import { bringBlob } from './presence.ts';
import type { GcRun } from './run.ts';

/**
 * What a repository has in quarantine: brought back, deleted, or left for its time.
 *
 * A manifest that comes back needs its layers and children, and whoever brings it back (an index that names it, say) does
 * not ask for those. So they outlast it: first manifests are deleted, those before their children, then links of layers
 * that no manifest names which may still come back.
 */
export async function sweepLinksAside(
  run: GcRun,
  repository: Repository,
  graph: ManifestGraph,
  needed: DigestSet,
): Promise<void> {
  const { held, deleted } = await deleteManifests(run, repository, graph);
  const { nodes, certain } = graph;
  await forEachConcurrently(run.quarantine.linksOf(repository), run.concurrency, async (digest) => {
    for (const entry of await run.quarantine.linkEntries(repository, digest)) {
      const aside = { repository, digest, entry };
      if (entry.what === 'restored' || entry.what === 'data') {
        if (isExpired(run, entry)) await deleteEntry(run, aside, 'expired');
        continue;
      }
      // Only a dry run still finds them.
      if (entry.what === 'revision' && deleted.has(digest)) continue;
      const stored = await readEntry(run, aside);
      if (stored === undefined) {
        // Moved back since the listing, by a registry that may have found the blob as well.
        run.linked.add(digest);
        continue;
      }
      const wanted = entry.what === 'layer' ? needed.has(digest) : nodes.get(digest)?.kept === true;
      if (wanted) {
        run.linked.add(stored);
        await settleWanted(run, aside, stored);
      } else if (entry.what === 'revision' || !certain || held.has(digest) || !isExpired(run, entry)) {
        run.linkedInQuarantine.add(stored);
      } else if (!(await deleteEntry(run, aside, 'expired'))) {
        // Moved back since it was read, as above.
        run.linked.add(stored);
      }
    }
  });
}

/** An object in quarantine with where it is. */
interface Aside {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly entry: QuarantineEntry;
}

/** Deletes manifests that are in quarantine long enough. @returns these, and what the others need that may come back */
async function deleteManifests(
  run: GcRun,
  repository: Repository,
  { nodes, certain }: ManifestGraph,
): Promise<{ readonly held: DigestSet; readonly deleted: ReadonlySet<Digest> }> {
  const staying = new Set<Digest>();
  const held = new DigestSet();
  const hold = (top: ManifestNode) => {
    const waiting: (ManifestNode | undefined)[] = [top];
    while (waiting.length > 0) {
      const node = waiting.pop();
      if (node === undefined || staying.has(node.digest)) continue;
      staying.add(node.digest);
      held.addPacked(node.parts);
      run.linkedInQuarantine.addPacked(node.parts);
      run.linkedInQuarantine.add(node.stored);
      waiting.push(...node.children.map((child) => nodes.get(child)));
    }
  };
  const going: ManifestNode[] = [];
  for (const node of parentsFirst(nodes)) {
    if (node.kept) continue;
    // Those that were put aside just now count from now.
    if (certain && node.aside !== undefined && isExpired(run, node.aside)) going.push(node);
    else hold(node);
  }
  const deleted = new Set<Digest>();
  for (const node of going) {
    if (staying.has(node.digest)) continue;
    if (await deleteManifest(run, repository, node.digest)) deleted.add(node.digest);
    else hold(node);
  }
  return { held, deleted };
}

/** @returns whether nothing of it is left in quarantine, so that it cannot come back */
async function deleteManifest(run: GcRun, repository: Repository, digest: Digest): Promise<boolean> {
  let gone = true;
  for (const entry of await run.quarantine.linkEntries(repository, digest)) {
    if (entry.what === 'restored') gone &&= isExpired(run, entry);
    if (entry.what !== 'revision') continue;
    gone &&= isExpired(run, entry) && (await deleteEntry(run, { repository, digest, entry }, 'expired'));
  }
  return gone;
}

/** All manifests, each before its children. Nothing can contain its own digest, so there is such an order. */
function parentsFirst(nodes: ReadonlyMap<Digest, ManifestNode>): ManifestNode[] {
  const seen = new Set<Digest>();
  const childrenFirst: ManifestNode[] = [];
  for (const top of nodes.values()) {
    // A list instead of recursion: an index of indexes may be as deep as somebody likes.
    const path: { readonly node: ManifestNode; next: number }[] = [];
    const enter = (node: ManifestNode | undefined) => {
      if (node === undefined || seen.has(node.digest)) return;
      seen.add(node.digest);
      path.push({ node, next: 0 });
    };
    enter(top);
    for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
      const child = step.node.children[step.next];
      step.next += 1;
      if (child !== undefined) enter(nodes.get(child));
      else childrenFirst.push(path.pop()?.node ?? step.node);
    }
  }
  return childrenFirst.reverse();
}

/** Needed: moved back to its place, or, when that is taken, deleted after its time. */
async function settleWanted(run: GcRun, aside: Aside, stored: Digest): Promise<void> {
  const { repository, digest, entry } = aside;
  if (entry.what !== 'layer' && entry.what !== 'revision') return;
  const { what } = entry;
  const place = formatPath({ kind: `${what}-link`, repository, digest });
  const object = what === 'layer' ? 'layer-link' : 'manifest';
  if ((await run.storage.find(place)) !== undefined) {
    if (isExpired(run, entry)) await deleteEntry(run, aside, 'superfluous');
    return;
  }
  if (!(await run.quarantine.moveLinkBack(repository, what, { digest, entry }))) return;
  run.report.add({ action: 'restore', object, reason: 'referenced', repository, digest });
  await bringBlob(run, stored, { repository, digest, what });
}

/** What a link in quarantine leads to; `undefined` when it is gone. */
async function readEntry(run: GcRun, { repository, digest, entry }: Aside): Promise<Digest | undefined> {
  const path = formatQuarantinePath({ kind: 'quarantined-link-entry', repository, digest, entry });
  const link = await run.storage.readLink(path);
  return link === undefined ? undefined : (link.digest ?? digest);
}

/** @returns false when it was gone already */
async function deleteEntry(
  run: GcRun,
  { repository, digest, entry }: Aside,
  reason: 'expired' | 'superfluous',
): Promise<boolean> {
  const path = formatQuarantinePath({ kind: 'quarantined-link-entry', repository, digest, entry });
  if (!(await run.storage.remove(path))) return false;
  const object = entry.what === 'layer' ? 'layer-link' : entry.what === 'revision' ? 'manifest' : 'note';
  run.report.add({ action: 'delete', object, reason, repository, digest });
  return true;
}

/** Whether something was in quarantine for its time when this run began. */
function isExpired(run: GcRun, { atMs }: QuarantineEntry): boolean {
  return atMs <= run.expiredUpToMs;
}
