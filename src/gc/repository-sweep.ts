import { type Digest, digestAlgorithms, makeDigest, type Repository } from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { forEachConcurrently } from './concurrently.ts';
import { DigestSet } from './digest-set.ts';
import { sweepLinksAside } from './links-aside.ts';
import { type ManifestGraph, markKept, readGraph } from './manifest-graph.ts';
import { bringBlob } from './presence.ts';
import { sweepReferrers, sweepTagHistory } from './remains.ts';
import { type GcRun, isYoung } from './run.ts';

/**
 * Marks and sweeps one repository: everything in it depends on it alone, so that no more than one need be in memory. What
 * its links lead to is noted for the sweep of the blobs.
 */
export async function sweepRepository(run: GcRun, repository: Repository): Promise<void> {
  const graph = await readGraph(run, repository);
  await markKept(run, repository, graph);
  const needed = new DigestSet();
  for (const node of graph.nodes.values()) if (node.kept) needed.addPacked(node.parts);
  await addTargets(run, repository, needed);
  await sweepManifests(run, repository, graph);
  await sweepLinksAside(run, repository, graph, needed);
  await sweepLayers(run, repository, graph.certain ? needed : undefined);
  if (graph.certain) {
    await sweepReferrers(run, repository, graph);
    await sweepTagHistory(run, repository, graph);
  }
}

/**
 * Adds what links of needed layers lead to: distribution stores under sha256 what was pushed by sha512, links both, and reads
 * the one through the other.
 */
async function addTargets(run: GcRun, repository: Repository, needed: DigestSet): Promise<void> {
  const algorithm = 'sha512';
  const names = run.storage.names(formatPath({ kind: 'layers', repository, algorithm }));
  await forEachConcurrently(names, run.concurrency, async (hex) => {
    const digest = makeDigest(algorithm, hex);
    if (digest === undefined || !needed.has(digest)) return;
    const link = await run.storage.readLink(formatPath({ kind: 'layer-link', repository, digest }));
    if (link?.digest !== undefined) needed.add(link.digest);
  });
}

/** Puts manifests aside that go, and notes the bytes of those that stay. */
async function sweepManifests(run: GcRun, repository: Repository, { nodes }: ManifestGraph): Promise<void> {
  await forEachConcurrently(nodes.values(), run.concurrency, async (node) => {
    const { digest, stored, aside, kept } = node;
    if (kept) {
      run.linked.add(stored);
      // Also what is not linked as a layer: a deletion may have taken the link, and the manifest needs it all the same.
      run.linked.addPacked(node.parts);
      await bringBlob(run, stored, { repository, digest, what: 'revision' });
    } else if (aside === undefined && (await run.quarantine.putLinkAside(repository, 'revision', digest))) {
      run.linkedInQuarantine.add(stored);
      run.report.add({ action: 'quarantine', object: 'manifest', reason: 'untagged', repository, digest });
    }
  });
}

/** Puts links of layers aside that no manifest needs, and notes what the others lead to. @param needed all, if not given */
async function sweepLayers(run: GcRun, repository: Repository, needed: DigestSet | undefined): Promise<void> {
  const top = formatPath({ kind: 'layers', repository });
  for await (const name of run.storage.names(top)) {
    const algorithm = digestAlgorithms.find((known) => known === name);
    await forEachConcurrently(run.storage.names(`${top}/${name}`), run.concurrency, async (hex) => {
      const path = `${top}/${name}/${hex}/link`;
      const link = await run.storage.readLink(path);
      run.onProgress();
      if (link === undefined) return;
      const digest = algorithm === undefined ? undefined : makeDigest(algorithm, hex);
      const stored = link.digest ?? digest;
      // A link of an algorithm that is not known here: what it leads to is kept.
      if (digest === undefined || stored === undefined) {
        if (stored !== undefined) run.linked.add(stored);
        return;
      }
      if (!(await putLayerAside(run, repository, { digest, stored, path, needed }))) {
        run.linked.add(stored);
        await bringBlob(run, stored, { repository, digest, what: 'layer' });
      }
    });
  }
}

/** @returns whether it was put aside, or is gone */
async function putLayerAside(
  run: GcRun,
  repository: Repository,
  layer: {
    readonly digest: Digest;
    readonly stored: Digest;
    readonly path: string;
    readonly needed: DigestSet | undefined;
  },
): Promise<boolean> {
  const { digest, stored, path, needed } = layer;
  if (needed === undefined || needed.has(digest)) return false;
  const info = await run.storage.find(path);
  if (info === undefined) return true;
  if (isYoung(run, info.modTime)) return false;
  if (await run.quarantine.putLinkAside(repository, 'layer', digest)) {
    run.linkedInQuarantine.add(stored);
    run.report.add({ action: 'quarantine', object: 'layer-link', reason: 'unused', repository, digest });
  }
  return true;
}
