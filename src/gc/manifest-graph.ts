import { type Digest, digestAlgorithms, makeDigest, type Repository, type Tag } from '../core/index.ts';
import { formatPath, formatQuarantinePath, type QuarantineEntry } from '../pathparser/index.ts';
import { forEachConcurrently } from './concurrently.ts';
import { packDigests } from './digest-set.ts';
import { partsOf, readManifest } from './manifest-reading.ts';
import { isLinked } from './presence.ts';
import { type GcRun, isYoung } from './run.ts';
import { tagsOf } from './tags.ts';

/** A manifest of a repository: what it leads to, in little memory. */
export interface ManifestNode {
  readonly digest: Digest;
  /** What its bytes are stored under. */
  readonly stored: Digest;
  /** Set when its link is in quarantine, and not at its place. */
  readonly aside: QuarantineEntry | undefined;
  /** Of an index. */
  readonly children: readonly Digest[];
  readonly subject: Digest | undefined;
  /** All that it needs, packed (see digest-set.ts). */
  readonly parts: Uint32Array;
  /** Whether it stays; decided by {@link markKept}. */
  kept: boolean;
}

/** The manifests of one repository. */
export interface ManifestGraph {
  readonly nodes: ReadonlyMap<Digest, ManifestNode>;
  /** What tags point at. */
  readonly tagged: ReadonlySet<Digest>;
  readonly tags: readonly Tag[];
  /** False when a manifest cannot be read: then anything of this repository may be needed, and all of it stays. */
  readonly certain: boolean;
}

/** Reads all manifests of a repository, and what its tags point at. */
export async function readGraph(run: GcRun, repository: Repository): Promise<ManifestGraph> {
  const nodes = new Map<Digest, ManifestNode>();
  let certain = true;
  const readAllAside = () =>
    forEachConcurrently(run.quarantine.linksOf(repository), run.concurrency, async (digest) => {
      const node = nodes.has(digest) ? undefined : await readAside(run, repository, digest);
      if (node !== undefined) nodes.set(digest, node);
    });
  // Before and after: what a registry moves back meanwhile, or another collector puts aside, is seen here or there.
  await readAllAside();
  const found = revisionsOf(run, repository, () => {
    certain = false;
  });
  await forEachConcurrently(found, run.concurrency, async (digest) => {
    const node = await readAtPlace(run, repository, digest);
    if (node === 'unreadable') certain = false;
    else if (node !== undefined) nodes.set(digest, node);
  });
  await readAllAside();
  const { tags, tagged } = await tagsOf(run, repository);
  for (const digest of tagged) {
    if (nodes.has(digest) || (await isLinked(run, repository, digest))) continue;
    run.report.problem({
      kind: 'tag-dangling',
      repository,
      digest,
      message: `a tag points at ${digest}, which is no manifest of the repository`,
    });
  }
  return { nodes, tagged, tags, certain };
}

/**
 * Decides which manifests stay: those that a tag leads to, directly, as a child of an index that stays, or as a referrer of
 * a manifest that stays; without `untagged` also all that are linked, else also the young ones.
 */
export async function markKept(run: GcRun, repository: Repository, graph: ManifestGraph): Promise<void> {
  const { nodes, tagged, certain } = graph;
  const referrers = new Map<Digest, Digest[]>();
  for (const { digest, subject } of nodes.values()) {
    if (subject === undefined) continue;
    const others = referrers.get(subject);
    if (others === undefined) referrers.set(subject, [digest]);
    else others.push(digest);
  }
  const reached = new Set<Digest>();
  const keep = (roots: Iterable<Digest>) => {
    const waiting = [...roots];
    for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
      if (reached.has(digest)) continue;
      reached.add(digest);
      const node = nodes.get(digest);
      if (node !== undefined) {
        node.kept = true;
        waiting.push(node.stored, ...node.children);
      }
      // Also of one that is not known: it may have been pushed since the manifests were listed.
      for (const referrer of referrers.get(digest) ?? []) waiting.push(referrer);
    }
  };
  keep(tagged);
  const others = [...nodes.values()].filter(({ kept, aside }) => !kept && aside === undefined);
  if (!run.untagged || !certain) {
    keep(others.map(({ digest }) => digest));
    return;
  }
  const young: Digest[] = [];
  await forEachConcurrently(others, run.concurrency, async ({ digest }) => {
    const info = await run.storage.find(formatPath({ kind: 'revision-link', repository, digest }));
    if (info !== undefined && isYoung(run, info.modTime)) young.push(digest);
  });
  keep(young);
}

/** The digests that are linked as manifests; `onForeign` is told of entries that may be links in a form not known here. */
async function* revisionsOf(run: GcRun, repository: Repository, onForeign: () => void): AsyncIterable<Digest> {
  const top = formatPath({ kind: 'revisions', repository });
  for await (const name of run.storage.names(top)) {
    const algorithm = digestAlgorithms.find((known) => known === name);
    if (algorithm === undefined) {
      onForeign();
      const message = `${top}/${name} is of an algorithm that is not known here: nothing of ${repository} is touched`;
      run.report.problem({ kind: 'foreign-entry', repository, message });
      continue;
    }
    for await (const hex of run.storage.names(`${top}/${algorithm}`)) {
      const digest = makeDigest(algorithm, hex);
      if (digest !== undefined) yield digest;
    }
  }
}

async function readAtPlace(
  run: GcRun,
  repository: Repository,
  digest: Digest,
): Promise<ManifestNode | 'unreadable' | undefined> {
  const path = formatPath({ kind: 'revision-link', repository, digest });
  const link = await run.storage.readLink(path);
  // A directory that a deletion has left, or a link that has just been deleted.
  if (link === undefined) return undefined;
  const stored = link.digest ?? digest;
  const reading = await readManifest(run, stored);
  run.report.seen.manifests += 1;
  run.onProgress();
  if (reading.kind === 'read') return nodeOf(digest, stored, undefined, reading.manifest);
  if ((await run.storage.readLink(path)) === undefined) return undefined;
  const { kind, message } = reading;
  run.report.problem({ kind, repository, digest, message: `${message}; nothing of ${repository} is touched` });
  // Its bytes stay, whatever they are.
  run.linked.add(stored);
  return 'unreadable';
}

async function readAside(run: GcRun, repository: Repository, digest: Digest): Promise<ManifestNode | undefined> {
  const entries = await run.quarantine.linkEntries(repository, digest);
  const aside = entries.filter(({ what }) => what === 'revision').sort((a, b) => b.atMs - a.atMs)[0];
  if (aside === undefined) return undefined;
  const path = formatQuarantinePath({ kind: 'quarantined-link-entry', repository, digest, entry: aside });
  const link = await run.storage.readLink(path);
  if (link === undefined) return undefined;
  const stored = link.digest ?? digest;
  const reading = await readManifest(run, stored);
  // It could be read when it was put aside. What cannot be read now is of no use to anybody, and needs nothing.
  const manifest = reading.kind === 'read' ? reading.manifest : undefined;
  return nodeOf(digest, stored, aside, manifest);
}

function nodeOf(
  digest: Digest,
  stored: Digest,
  aside: QuarantineEntry | undefined,
  manifest: Parameters<typeof partsOf>[0] | undefined,
): ManifestNode {
  return {
    digest,
    stored,
    aside,
    children: manifest?.manifests.map((child) => child.digest) ?? [],
    subject: manifest?.subject?.digest,
    parts: packDigests(manifest === undefined ? [] : partsOf(manifest)),
    kept: false,
  };
}
